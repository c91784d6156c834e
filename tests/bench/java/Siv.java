import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;

/** AES-SIV (RFC 5297) of values of 16 bytes or more with one associated string, as base64url without padding. */
final class Siv {
    private static final int BLOCK = 16;
    private final Cipher mac;
    private final Cipher counter;
    private final byte[] key1;
    private final byte[] key2;
    private final Map<String, byte[]> prefixes = new HashMap<>();

    Siv(byte[] key) throws GeneralSecurityException {
        mac = cipher(Arrays.copyOfRange(key, 0, key.length / 2));
        counter = cipher(Arrays.copyOfRange(key, key.length / 2, key.length));
        key1 = doubled(block(mac, new byte[BLOCK]));
        key2 = doubled(key1);
    }

    String code(byte[] value, String kind) {
        byte[] prefix = prefixes.computeIfAbsent(kind, this::prefix);
        byte[] mixed = value.clone();
        for (int at = 0; at < BLOCK; at++) {
            mixed[value.length - BLOCK + at] ^= prefix[at];
        }
        byte[] vector = cmac(mixed);
        byte[] out = Arrays.copyOf(vector, BLOCK + value.length);
        vector[8] &= 0x7f;
        vector[12] &= 0x7f;
        for (int at = 0; at < value.length; at += BLOCK) {
            byte[] stream = block(counter, vector);
            for (int offset = 0; offset < BLOCK && at + offset < value.length; offset++) {
                out[BLOCK + at + offset] = (byte) (value[at + offset] ^ stream[offset]);
            }
            increment(vector);
        }
        return Base64.getUrlEncoder().withoutPadding().encodeToString(out);
    }

    private byte[] prefix(String kind) {
        byte[] prefix = doubled(cmac(new byte[BLOCK]));
        byte[] kindMac = cmac(kind.getBytes(java.nio.charset.StandardCharsets.US_ASCII));
        for (int at = 0; at < BLOCK; at++) {
            prefix[at] ^= kindMac[at];
        }
        return prefix;
    }

    private byte[] cmac(byte[] message) {
        byte[] state = new byte[BLOCK];
        int fullBlocks = message.length == 0 ? 0 : (message.length - 1) / BLOCK;
        for (int at = 0; at < fullBlocks * BLOCK; at += BLOCK) {
            for (int offset = 0; offset < BLOCK; offset++) {
                state[offset] ^= message[at + offset];
            }
            state = block(mac, state);
        }
        int lastLength = message.length - fullBlocks * BLOCK;
        byte[] last = Arrays.copyOf(Arrays.copyOfRange(message, fullBlocks * BLOCK, message.length), BLOCK);
        if (lastLength < BLOCK) {
            last[lastLength] = (byte) 0x80;
        }
        byte[] key = lastLength == BLOCK ? key1 : key2;
        for (int offset = 0; offset < BLOCK; offset++) {
            state[offset] ^= (byte) (last[offset] ^ key[offset]);
        }
        return block(mac, state);
    }

    private static void increment(byte[] vector) {
        for (int at = BLOCK - 1; at >= 0 && ++vector[at] == 0; at--) {
            continue;
        }
    }

    private static byte[] doubled(byte[] value) {
        byte[] out = new byte[BLOCK];
        int carry = 0;
        for (int at = BLOCK - 1; at >= 0; at--) {
            int shifted = (value[at] & 0xff) << 1 | carry;
            out[at] = (byte) shifted;
            carry = shifted >>> 8;
        }
        if (carry != 0) {
            out[BLOCK - 1] ^= (byte) 0x87;
        }
        return out;
    }

    private static byte[] block(Cipher cipher, byte[] input) {
        byte[] out = new byte[BLOCK];
        try {
            cipher.update(input, 0, BLOCK, out, 0);
        } catch (javax.crypto.ShortBufferException error) {
            throw new IllegalStateException(error);
        }
        return out;
    }

    private static Cipher cipher(byte[] key) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("AES/ECB/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"));
        return cipher;
    }
}
