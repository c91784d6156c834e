import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * Conversion of one domain's changes by Kafka Streams, exactly once: the same bytes as ours come out. Given a file of
 * properties: those of Kafka Streams, and bench.* for the work and for what is measured.
 */
public final class Conversion {
    private static final AtomicLong SEEN = new AtomicLong();
    private static final CountDownLatch DONE = new CountDownLatch(1);
    private static volatile long begunNs;
    private static volatile long begunCpuNs;
    private static volatile String result = "";

    private Conversion() {
    }

    public static void main(String[] arguments) throws Exception {
        Properties given = new Properties();
        try (var reader = Files.newBufferedReader(Path.of(arguments[0]))) {
            given.load(reader);
        }
        Topology topology = new Topology();
        var bytes = Serdes.ByteArray();
        topology.addSource("in", bytes.deserializer(), bytes.deserializer(), given.getProperty("bench.input"));
        topology.addProcessor("convert", () -> new Converter(given), "in");
        for (String name : List.of("domain", "disclosure")) {
            String topic = given.getProperty("bench.output." + name);
            topology.addSink(name, topic, bytes.serializer(), bytes.serializer(), "convert");
        }
        KafkaStreams streams = new KafkaStreams(topology, given);
        streams.start();
        boolean done = DONE.await(Long.parseLong(given.getProperty("bench.timeout.s")), TimeUnit.SECONDS);
        streams.close(java.time.Duration.ofSeconds(20));
        if (!done) {
            System.exit(1);
        }
        Files.writeString(Path.of(given.getProperty("bench.result")), result);
        System.exit(0);
    }

    private static void count(long warm, long records) {
        long seen = SEEN.incrementAndGet();
        if (seen == warm) {
            begunCpuNs = cpuNs();
            begunNs = System.nanoTime();
        } else if (seen == records) {
            double seconds = (System.nanoTime() - begunNs) / 1e9;
            double cpu = (cpuNs() - begunCpuNs) / 1e9;
            result = String.format(java.util.Locale.ROOT,
                "{\"records\":%d,\"seconds\":%f,\"cpu_s\":%f}", records - warm, seconds, cpu);
            DONE.countDown();
        }
    }

    private static long cpuNs() {
        return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toNanos();
    }

    /** One thread's converter. */
    private static final class Converter implements Processor<byte[], byte[], byte[], byte[]> {
        private static final long DAY_MS = 86_400_000L;
        private static final int PREFIX = 5;
        private final long warm;
        private final long records;
        private final String domain;
        private final String basis;
        private final Siv siv;
        private final Map<String, String> parts = new HashMap<>();
        private final Map<String, Integer> ids = new HashMap<>();
        private final Map<String, Schema> schemas = new HashMap<>();
        private final GenericDatumReader<GenericRecord> reader;
        private final Map<String, GenericDatumWriter<GenericRecord>> writers = new HashMap<>();
        private final Schema person;
        private BinaryDecoder decoder;
        private BinaryEncoder encoder;
        private ProcessorContext<byte[], byte[]> context;

        Converter(Properties given) {
            try {
                warm = Long.parseLong(given.getProperty("bench.warm"));
                records = Long.parseLong(given.getProperty("bench.records"));
                domain = given.getProperty("bench.domain");
                basis = given.getProperty("bench.basis");
                siv = new Siv(Base64.getDecoder().decode(given.getProperty("bench.key")));
                for (String line : Files.readAllLines(Path.of(given.getProperty("bench.parts")))) {
                    String[] pair = line.split("\t", 2);
                    parts.put(pair[0], pair[1]);
                }
                for (String name : List.of("change", "domain", "disclosure")) {
                    String text = Files.readString(Path.of(given.getProperty("bench.schema." + name)));
                    schemas.put(name, new Schema.Parser().parse(text));
                    ids.put(name, Integer.parseInt(given.getProperty("bench.id." + name)));
                    writers.put(name, new GenericDatumWriter<>(schemas.get(name)));
                }
                reader = new GenericDatumReader<>(schemas.get("change"));
                person = schemas.get("domain").getField("person").schema().getTypes().get(1);
            } catch (IOException | GeneralSecurityException error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                convert(record);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            count(warm, records);
        }

        private void convert(Record<byte[], byte[]> record) throws IOException {
            byte[] value = record.value();
            decoder = DecoderFactory.get().binaryDecoder(value, PREFIX, value.length - PREFIX, decoder);
            GenericRecord change = reader.read(null, decoder);
            GenericRecord facts = (GenericRecord) change.get("facts");
            GenericRecord told = new GenericData.Record(schemas.get("domain"));
            GenericRecord disclosed = new GenericData.Record(schemas.get("disclosure"));
            String code = siv.code(raw(change.get("person")), "person");
            for (String name : List.of("entity", "op", "revision", "municipality", "effective_on")) {
                told.put(name, translated(change.get(name), told.getSchema().getField(name).schema()));
                if (!name.equals("op")) {
                    Schema schema = disclosed.getSchema().getField(name).schema();
                    disclosed.put(name, translated(change.get(name), schema));
                }
            }
            GenericRecord inCase = (GenericRecord) change.get("case");
            String caseCode = inCase == null ? null : siv.code(padded(inCase), "case");
            GenericRecord row = row(change, facts);
            told.put("code", code);
            told.put("case_code", caseCode);
            told.put("person", row);
            disclosed.put("code", code);
            disclosed.put("case_code", caseCode);
            disclosed.put("domain", domain);
            disclosed.put("fields", fields(row));
            disclosed.put("legal_basis", basis);
            byte[] key = code.getBytes(StandardCharsets.US_ASCII);
            long time = Math.max(1, DAY_MS * (Integer) change.get("effective_on"));
            Record<byte[], byte[]> out = record.withKey(key).withTimestamp(time);
            context.forward(out.withValue(encoded("domain", told)), "domain");
            context.forward(out.withValue(encoded("disclosure", disclosed)), "disclosure");
        }

        private GenericRecord row(GenericRecord change, GenericRecord facts) {
            GenericRecord row = new GenericData.Record(person);
            row.put("status", translated(change.get("status"), person.getField("status").schema()));
            row.put("name", facts.get("name"));
            row.put("kana", facts.get("kana"));
            row.put("roman", facts.get("kana") == null ? null : roman(facts.get("kana").toString()));
            row.put("birth_date", facts.get("birth_date"));
            boolean closed = "closed".contentEquals(change.get("status").toString());
            row.put("address", closed ? null : facts.get("address"));
            Object household = facts.get("household");
            row.put("household_code", household == null ? null : siv.code(raw(household), "household"));
            row.put("relationship", facts.get("relationship"));
            return row;
        }

        private List<String> fields(GenericRecord row) {
            List<String> shown = new ArrayList<>();
            for (Schema.Field field : person.getFields()) {
                if (!field.name().equals("status") && row.get(field.pos()) != null) {
                    shown.add(field.name());
                }
            }
            return shown;
        }

        private String roman(String kana) {
            int space = kana.indexOf('\u3000');
            return parts.get(kana.substring(0, space)) + " " + parts.get(kana.substring(space + 1));
        }

        private static Object translated(Object value, Schema schema) {
            if (value instanceof GenericData.EnumSymbol) {
                return new GenericData.EnumSymbol(schema, value.toString());
            }
            return value;
        }

        private static byte[] raw(Object code) {
            return Base64.getUrlDecoder().decode(code.toString());
        }

        private static byte[] padded(GenericRecord inCase) {
            String text = inCase.get("municipality") + "/" + inCase.get("notice");
            return String.format("%-40s", text).getBytes(StandardCharsets.UTF_8);
        }

        private byte[] encoded(String name, GenericRecord content) throws IOException {
            ByteArrayOutputStream out = new ByteArrayOutputStream(512);
            int id = ids.get(name);
            out.write(new byte[] {0, (byte) (id >>> 24), (byte) (id >>> 16), (byte) (id >>> 8), (byte) id});
            encoder = EncoderFactory.get().binaryEncoder(out, encoder);
            writers.get(name).write(content, encoder);
            encoder.flush();
            return out.toByteArray();
        }
    }
}
