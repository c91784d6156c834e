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
 * Conversion of one domain's changes by Kafka Streams, exactly once. It writes the same bytes as the mesh's conversion.
 * The argument is a file of properties: those of Kafka Streams, and bench.* for the work and its measurement.
 */
public final class Conversion {
    private static final AtomicLong CONVERTED = new AtomicLong();
    private static final CountDownLatch DONE = new CountDownLatch(1);
    private static volatile long begunNs;
    private static volatile long begunCpuNs;
    private static volatile String result = "";

    private Conversion() {
    }

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (var reader = Files.newBufferedReader(Path.of(arguments[0]))) {
            properties.load(reader);
        }
        Topology topology = new Topology();
        var bytes = Serdes.ByteArray();
        topology.addSource("in", bytes.deserializer(), bytes.deserializer(), properties.getProperty("bench.input"));
        topology.addProcessor("convert", () -> new Converter(properties), "in");
        for (String name : List.of("domain", "disclosure")) {
            String topic = properties.getProperty("bench.output." + name);
            topology.addSink(name, topic, bytes.serializer(), bytes.serializer(), "convert");
        }
        KafkaStreams streams = new KafkaStreams(topology, properties);
        streams.start();
        boolean done = DONE.await(Long.parseLong(properties.getProperty("bench.timeout.s")), TimeUnit.SECONDS);
        streams.close(java.time.Duration.ofSeconds(20));
        if (!done) {
            System.exit(1);
        }
        Files.writeString(Path.of(properties.getProperty("bench.result")), result);
        System.exit(0);
    }

    private static void count(long warmUp, long records) {
        long converted = CONVERTED.incrementAndGet();
        if (converted == warmUp) {
            begunCpuNs = cpuNs();
            begunNs = System.nanoTime();
        } else if (converted == records) {
            double seconds = (System.nanoTime() - begunNs) / 1e9;
            double cpu = (cpuNs() - begunCpuNs) / 1e9;
            result = String.format(java.util.Locale.ROOT,
                "{\"records\":%d,\"seconds\":%f,\"cpu_s\":%f}", records - warmUp, seconds, cpu);
            DONE.countDown();
        }
    }

    private static long cpuNs() {
        return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toNanos();
    }

    /** The processor of one thread. */
    private static final class Converter implements Processor<byte[], byte[], byte[], byte[]> {
        private static final long DAY_MS = 86_400_000L;
        private static final int PREFIX = 5;
        private final long warmUp;
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

        Converter(Properties properties) {
            try {
                warmUp = Long.parseLong(properties.getProperty("bench.warm"));
                records = Long.parseLong(properties.getProperty("bench.records"));
                domain = properties.getProperty("bench.domain");
                basis = properties.getProperty("bench.basis");
                siv = new Siv(Base64.getDecoder().decode(properties.getProperty("bench.key")));
                for (String line : Files.readAllLines(Path.of(properties.getProperty("bench.parts")))) {
                    String[] pair = line.split("\t", 2);
                    parts.put(pair[0], pair[1]);
                }
                for (String name : List.of("change", "domain", "disclosure")) {
                    String text = Files.readString(Path.of(properties.getProperty("bench.schema." + name)));
                    schemas.put(name, new Schema.Parser().parse(text));
                    ids.put(name, Integer.parseInt(properties.getProperty("bench.id." + name)));
                    writers.put(name, new GenericDatumWriter<>(schemas.get(name)));
                }
                reader = new GenericDatumReader<>(schemas.get("change"));
                person = schemas.get("domain").getField("person").schema().getTypes().get(1);
            } catch (IOException | GeneralSecurityException error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> processorContext) {
            context = processorContext;
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                convert(record);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            count(warmUp, records);
        }

        private void convert(Record<byte[], byte[]> record) throws IOException {
            byte[] value = record.value();
            decoder = DecoderFactory.get().binaryDecoder(value, PREFIX, value.length - PREFIX, decoder);
            GenericRecord change = reader.read(null, decoder);
            GenericRecord facts = (GenericRecord) change.get("facts");
            GenericRecord domainRecord = new GenericData.Record(schemas.get("domain"));
            GenericRecord disclosure = new GenericData.Record(schemas.get("disclosure"));
            String code = siv.code(codeBytes(change.get("person")), "person");
            for (String name : List.of("entity", "op", "revision", "municipality", "effective_on")) {
                domainRecord.put(name, withSchema(change.get(name), domainRecord.getSchema().getField(name).schema()));
                if (!name.equals("op")) {
                    Schema schema = disclosure.getSchema().getField(name).schema();
                    disclosure.put(name, withSchema(change.get(name), schema));
                }
            }
            GenericRecord caseRef = (GenericRecord) change.get("case");
            String caseCode = caseRef == null ? null : siv.code(caseBytes(caseRef), "case");
            GenericRecord row = row(change, facts);
            domainRecord.put("code", code);
            domainRecord.put("case_code", caseCode);
            domainRecord.put("person", row);
            disclosure.put("code", code);
            disclosure.put("case_code", caseCode);
            disclosure.put("domain", domain);
            disclosure.put("fields", fields(row));
            disclosure.put("legal_basis", basis);
            disclosure.put("disclosed_at", System.currentTimeMillis());
            byte[] key = code.getBytes(StandardCharsets.US_ASCII);
            long time = Math.max(1, DAY_MS * (Integer) change.get("effective_on"));
            Record<byte[], byte[]> output = record.withKey(key).withTimestamp(time);
            context.forward(output.withValue(encode("domain", domainRecord)), "domain");
            context.forward(output.withValue(encode("disclosure", disclosure)), "disclosure");
        }

        private GenericRecord row(GenericRecord change, GenericRecord facts) {
            GenericRecord row = new GenericData.Record(person);
            row.put("status", withSchema(change.get("status"), person.getField("status").schema()));
            row.put("name", facts.get("name"));
            row.put("kana", facts.get("kana"));
            row.put("roman", facts.get("kana") == null ? null : roman(facts.get("kana").toString()));
            row.put("birth_date", facts.get("birth_date"));
            boolean closed = "closed".contentEquals(change.get("status").toString());
            row.put("address", closed ? null : facts.get("address"));
            Object household = facts.get("household");
            row.put("household_code", household == null ? null : siv.code(codeBytes(household), "household"));
            row.put("relationship", facts.get("relationship"));
            return row;
        }

        private List<String> fields(GenericRecord row) {
            List<String> disclosedFields = new ArrayList<>();
            for (Schema.Field field : person.getFields()) {
                if (!field.name().equals("status") && row.get(field.pos()) != null) {
                    disclosedFields.add(field.name());
                }
            }
            return disclosedFields;
        }

        private String roman(String kana) {
            int space = kana.indexOf('\u3000');
            return parts.get(kana.substring(0, space)) + " " + parts.get(kana.substring(space + 1));
        }

        private static Object withSchema(Object value, Schema schema) {
            if (value instanceof GenericData.EnumSymbol) {
                return new GenericData.EnumSymbol(schema, value.toString());
            }
            return value;
        }

        private static byte[] codeBytes(Object code) {
            return Base64.getUrlDecoder().decode(code.toString());
        }

        private static byte[] caseBytes(GenericRecord caseRef) {
            String text = caseRef.get("municipality") + "/" + caseRef.get("notice");
            return String.format("%-40s", text).getBytes(StandardCharsets.UTF_8);
        }

        private byte[] encode(String name, GenericRecord content) throws IOException {
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
