import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSAlgorithm;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSAuthEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSEnvelopedData;
import org.bouncycastle.cms.CMSEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.RecipientInformationStore;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceKeyTransEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientId;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientInfoGenerator;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;

/**
 * Bouncy Castle's loop: byte arrays in memory, base64 by java.util.Base64, keys and certificates loaded once.
 * Same directory, requests and answers as peer.c. The S/MIME shapes are joined by hand, which is faster than
 * Jakarta Mail. CPU seconds are the whole process's, so its collector and compiler count.
 */
public class Bench {
    static final String BC = "BC";
    static final Base64.Encoder ENCODER = Base64.getMimeEncoder(64, "\r\n".getBytes(StandardCharsets.US_ASCII));
    static final Base64.Decoder DECODER = Base64.getMimeDecoder();
    static Path home;
    static X509Certificate signer, recipient, issuer;
    static PrivateKey signerKey, recipientKey;
    static DigestCalculatorProvider digests;
    static ContentSigner contentSigner;
    static JcaCertStore store;
    static final SecureRandom RANDOM = new SecureRandom();

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        home = Path.of(args[0]);
        signer = certificate("signer.pem");
        issuer = certificate("chain.pem");
        recipient = certificate("recipient.pem");
        signerKey = key("signer.key");
        recipientKey = key("recipient.key");
        digests = new JcaDigestCalculatorProviderBuilder().setProvider(BC).build();
        contentSigner = new JcaContentSignerBuilder("SHA256WITHRSA").setProvider(BC).build(signerKey);
        store = new JcaCertStore(Arrays.asList(signer, issuer));
        com.sun.management.OperatingSystemMXBean system =
                (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        System.out.println("ready Java " + System.getProperty("java.version") + ", "
                + Security.getProvider(BC).getInfo());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String[] words = line.split(" ");
            boolean opening = words[0].equals("open");
            byte[] octets = Files.readAllBytes(home.resolve(
                    opening ? "mail-" + words[1] + "-" + words[2] : "entity-" + words[1]));
            ASN1ObjectIdentifier cipher = words[2].equals("gcm") ? CMSAlgorithm.AES256_GCM : CMSAlgorithm.AES256_CBC;
            long started = system.getProcessCpuTime();
            if (words[0].equals("write")) {
                Files.write(home.resolve("java-" + words[1] + "-" + words[2]), seal(octets, cipher));
            }
            for (int count = Integer.parseInt(words[3]); count > 0; count--) {
                if (opening) {
                    open(octets);
                } else {
                    seal(octets, cipher);
                }
            }
            System.out.printf(java.util.Locale.ROOT, "%.6f%n", (system.getProcessCpuTime() - started) / 1e9);
        }
    }

    static byte[] seal(byte[] entity, ASN1ObjectIdentifier cipher) throws Exception {
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(digests).build(contentSigner, signer));
        generator.addCertificates(store);
        byte[] signature = generator.generate(new CMSProcessableByteArray(entity), false).getEncoded();

        byte[] random = new byte[16];
        RANDOM.nextBytes(random);
        String boundary = "----" + new java.math.BigInteger(1, random).toString(16);
        ByteArrayOutputStream inner = new ByteArrayOutputStream(entity.length + 8192);
        inner.write(ascii("Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n"
                + " micalg=sha-256; boundary=\"" + boundary + "\"\r\n\r\n--" + boundary + "\r\n"));
        inner.write(entity);
        inner.write(ascii("\r\n--" + boundary + "\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"
                + "Content-Transfer-Encoding: base64\r\n\r\n"));
        inner.write(ENCODER.encode(signature));
        inner.write(ascii("\r\n--" + boundary + "--\r\n"));

        OutputEncryptor encryptor = new JceCMSContentEncryptorBuilder(cipher).setProvider(BC).build();
        JceKeyTransRecipientInfoGenerator info = new JceKeyTransRecipientInfoGenerator(recipient).setProvider(BC);
        CMSProcessableByteArray content = new CMSProcessableByteArray(inner.toByteArray());
        byte[] enveloped;
        if (cipher.equals(CMSAlgorithm.AES256_GCM)) {
            CMSAuthEnvelopedDataGenerator envelope = new CMSAuthEnvelopedDataGenerator();
            envelope.addRecipientInfoGenerator(info);
            enveloped = envelope.generate(content, (OutputAEADEncryptor) encryptor).getEncoded();
        } else {
            CMSEnvelopedDataGenerator envelope = new CMSEnvelopedDataGenerator();
            envelope.addRecipientInfoGenerator(info);
            enveloped = envelope.generate(content, encryptor).getEncoded();
        }
        ByteArrayOutputStream mail = new ByteArrayOutputStream(enveloped.length * 3 / 2);
        mail.write(ascii("From: bank@bank.example\r\nTo: customer@customer.example\r\nSubject: [...]\r\n"
                + "MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data;"
                + " name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
        mail.write(ENCODER.encode(enveloped));
        mail.write(ascii("\r\n"));
        return mail.toByteArray();
    }

    static void open(byte[] mail) throws Exception {
        int body = find(mail, ascii("\r\n\r\n"), 0) + 4;
        byte[] der = DECODER.decode(Arrays.copyOfRange(mail, body, mail.length));
        boolean authenticated = find(Arrays.copyOf(mail, body), ascii("authEnveloped-data"), 0) >= 0
                || find(Arrays.copyOf(mail, body), ascii("authEnvelopedData"), 0) >= 0;
        RecipientInformationStore infos = authenticated ? new CMSAuthEnvelopedData(der).getRecipientInfos()
                : new CMSEnvelopedData(der).getRecipientInfos();
        RecipientInformation info = infos.get(new JceKeyTransRecipientId(recipient));
        byte[] inner = info.getContent(new JceKeyTransEnvelopedRecipient(recipientKey).setProvider(BC));

        byte[] marker = ascii("boundary=\"");
        int at = find(inner, marker, 0) + marker.length;
        byte[] boundary = Arrays.copyOfRange(inner, at, find(inner, ascii("\""), at));
        byte[] delimiter = ascii("\r\n--" + new String(boundary, StandardCharsets.US_ASCII));
        int first = find(inner, delimiter, 0);
        int start = first + delimiter.length + 2;
        int end = find(inner, delimiter, start);
        int signatureBody = find(inner, ascii("\r\n\r\n"), end) + 4;
        byte[] signature = DECODER.decode(
                Arrays.copyOfRange(inner, signatureBody, find(inner, delimiter, signatureBody)));
        CMSSignedData signed = new CMSSignedData(
                new CMSProcessableByteArray(Arrays.copyOfRange(inner, start, end)), signature);
        for (SignerInformation one : signed.getSignerInfos().getSigners()) {
            X509CertificateHolder holder = (X509CertificateHolder)
                    signed.getCertificates().getMatches(one.getSID()).iterator().next();
            if (!one.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(holder))) {
                throw new IllegalStateException("signature");
            }
        }
    }

    static int find(byte[] octets, byte[] wanted, int from) {
        outer:
        for (int at = from; at <= octets.length - wanted.length; at++) {
            for (int offset = 0; offset < wanted.length; offset++) {
                if (octets[at + offset] != wanted[offset]) {
                    continue outer;
                }
            }
            return at;
        }
        return -1;
    }

    static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    static X509Certificate certificate(String name) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", BC)
                .generateCertificate(new ByteArrayInputStream(Files.readAllBytes(home.resolve(name))));
    }

    static PrivateKey key(String name) throws Exception {
        String text = Files.readString(home.resolve(name)).replaceAll("-----[A-Z ]+-----", "");
        return KeyFactory.getInstance("RSA", BC).generatePrivate(new PKCS8EncodedKeySpec(DECODER.decode(text)));
    }
}
