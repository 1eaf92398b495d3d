import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.CMSAlgorithm;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSAuthEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSCompressedData;
import org.bouncycastle.cms.CMSCompressedDataGenerator;
import org.bouncycastle.cms.CMSEnvelopedData;
import org.bouncycastle.cms.CMSEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSEnvelopedDataStreamGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.CMSSignedDataStreamGenerator;
import org.bouncycastle.cms.Recipient;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.RecipientInformationStore;
import org.bouncycastle.cms.SignerInfoGenerator;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceKeyAgreeEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientId;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyTransEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientId;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.ZlibCompressor;
import org.bouncycastle.cms.jcajce.ZlibExpanderProvider;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;
import org.bouncycastle.tsp.TSPAlgorithms;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampRequestGenerator;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.TimeStampToken;
import org.bouncycastle.tsp.TimeStampTokenGenerator;
import org.bouncycastle.util.Store;

/**
 * Bouncy Castle as a peer: one JVM for all tests of a process. One request a line: a verb and its arguments, each
 * in base64 ('-' for empty, ',' between the members of a list). One answer a line: 'ok BASE64' or 'no BASE64(why)'.
 */
public class Peer {
    static final String BC = "BC";
    static final ASN1ObjectIdentifier TIME_STAMP = PKCSObjectIdentifiers.id_aa_signatureTimeStampToken;

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = System.out;
        System.setOut(System.err);
        out.println("ready");
        out.flush();
        for (String line; (line = in.readLine()) != null; out.flush()) {
            String[] words = line.split(" ");
            try {
                out.println("ok " + encode(answer(words[0], words)));
            } catch (Throwable fault) {
                StringBuilder why = new StringBuilder();
                for (Throwable cause = fault; cause != null; cause = cause.getCause()) {
                    why.append(cause.getClass().getSimpleName()).append(": ").append(cause.getMessage()).append("; ");
                }
                out.println("no " + encode(why.toString().getBytes(StandardCharsets.UTF_8)));
            }
        }
    }

    static byte[] answer(String verb, String[] a) throws Exception {
        switch (verb) {
            case "sign": return sign(bytes(a[1]), key(a[2]), certs(a[3]), text(a[4]), text(a[5]));
            case "verify": return verify(bytes(a[1]), a[2].equals("-") ? null : bytes(a[2]), cert(a[3]));
            case "encrypt": return encrypt(bytes(a[1]), certs(a[2]), text(a[3]), text(a[4]), text(a[5]));
            case "decrypt": return decrypt(bytes(a[1]), key(a[2]), cert(a[3]));
            case "x25519-encrypt": return X25519.encrypt(bytes(a[1]), cert(a[2]), text(a[3]));
            case "x25519-decrypt": return X25519.decrypt(bytes(a[1]), bytes(a[2]), cert(a[3]));
            case "compress": return compress(bytes(a[1]));
            case "decompress":
                return new CMSCompressedData(bytes(a[1])).getContent(new ZlibExpanderProvider());
            case "ts-request": return request(bytes(a[1])).getEncoded();
            case "ts-check": return checkResponse(bytes(a[1]), bytes(a[2]), cert(a[3]));
            case "ts-token": return token(bytes(a[1]), key(a[2]), cert(a[3]));
            case "ts-verify": return verifyToken(bytes(a[1]), bytes(a[2]), cert(a[3]));
            case "stamped": return stamped(bytes(a[1]), cert(a[2]));
            default: throw new IllegalArgumentException("verb " + verb);
        }
    }

    // RFC 5652 5. `how`: words out of detached, stream (indefinite length)
    static byte[] sign(byte[] content, PrivateKey key, List<X509Certificate> chain, String algorithm, String how)
            throws Exception {
        SignerInfoGenerator signer = new JcaSignerInfoGeneratorBuilder(
                new JcaDigestCalculatorProviderBuilder().setProvider(BC).build())
                .build(new JcaContentSignerBuilder(algorithm).setProvider(BC).build(key), chain.get(0));
        Store<?> store = new JcaCertStore(chain);
        boolean attached = !how.contains("detached");
        if (how.contains("stream")) {
            CMSSignedDataStreamGenerator generator = new CMSSignedDataStreamGenerator();
            generator.addSignerInfoGenerator(signer);
            generator.addCertificates(store);
            ByteArrayOutputStream written = new ByteArrayOutputStream();
            try (OutputStream sink = generator.open(written, attached)) {
                sink.write(content);
            }
            return written.toByteArray();
        }
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(signer);
        generator.addCertificates(store);
        return generator.generate(new CMSProcessableByteArray(content), attached).getEncoded("DER");
    }

    /** Every signer over the content, its path to the root, and at least one signer. Returns the content. */
    static byte[] verify(byte[] der, byte[] detached, X509Certificate root) throws Exception {
        CMSSignedData signed = detached == null ? new CMSSignedData(der)
                : new CMSSignedData(new CMSProcessableByteArray(detached), der);
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.isEmpty()) {
            throw new IllegalStateException("no signer");
        }
        for (SignerInformation signer : signers) {
            X509CertificateHolder holder = holder(signed.getCertificates(), signer);
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(holder))) {
                throw new IllegalStateException("signature does not verify");
            }
            path(holder, signed.getCertificates(), root);
        }
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        signed.getSignedContent().write(content);
        return content.toByteArray();
    }

    @SuppressWarnings("unchecked")
    static X509CertificateHolder holder(Store<X509CertificateHolder> store, SignerInformation signer) {
        Collection<X509CertificateHolder> found = store.getMatches(signer.getSID());
        if (found.isEmpty()) {
            throw new IllegalStateException("signer's certificate is not enclosed");
        }
        return found.iterator().next();
    }

    static void path(X509CertificateHolder leaf, Store<X509CertificateHolder> store, X509Certificate root)
            throws Exception {
        List<X509Certificate> all = new ArrayList<>();
        JcaX509CertificateConverter convert = new JcaX509CertificateConverter().setProvider(BC);
        for (X509CertificateHolder holder : store.getMatches(null)) {
            all.add(convert.getCertificate(holder));
        }
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(convert.getCertificate(leaf));
        PKIXBuilderParameters parameters =
                new PKIXBuilderParameters(Collections.singleton(new TrustAnchor(root, null)), target);
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(all), BC));
        parameters.setRevocationEnabled(false);
        CertPathBuilder.getInstance("PKIX", BC).build(parameters);
    }

    // RFC 5652 6, RFC 5083. `wrap`: pkcs1, oaep-sha256 ..., or the hash of the key derivation: sha256 ...
    static byte[] encrypt(byte[] content, List<X509Certificate> recipients, String cipher, String wrap, String how)
            throws Exception {
        ASN1ObjectIdentifier oid = (ASN1ObjectIdentifier) CMSAlgorithm.class.getField(cipher).get(null);
        List<RecipientInfoGenerator> infos = new ArrayList<>();
        for (X509Certificate recipient : recipients) {
            infos.add(recipientInfo(recipient, wrap, cipher));
        }
        OutputEncryptor encryptor = new JceCMSContentEncryptorBuilder(oid).setProvider(BC).build();
        if (cipher.endsWith("GCM")) {
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            infos.forEach(generator::addRecipientInfoGenerator);
            return generator.generate(new CMSProcessableByteArray(content), (OutputAEADEncryptor) encryptor)
                    .getEncoded();
        }
        if (how.contains("stream")) {
            CMSEnvelopedDataStreamGenerator generator = new CMSEnvelopedDataStreamGenerator();
            infos.forEach(generator::addRecipientInfoGenerator);
            generator.setBufferSize(1000);
            ByteArrayOutputStream written = new ByteArrayOutputStream();
            try (OutputStream sink = generator.open(written, encryptor)) {
                sink.write(content);
            }
            return written.toByteArray();
        }
        CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
        infos.forEach(generator::addRecipientInfoGenerator);
        return generator.generate(new CMSProcessableByteArray(content), encryptor).toASN1Structure().getEncoded("DER");
    }

    static RecipientInfoGenerator recipientInfo(X509Certificate recipient, String wrap, String cipher)
            throws Exception {
        String algorithm = recipient.getPublicKey().getAlgorithm();
        if (algorithm.equals("RSA") && wrap.startsWith("oaep")) {
            String[] words = wrap.split("-sha");  // oaep-sha256-mgf1-sha1: the digest, then that of the mask
            String hash = "SHA-" + words[1].replace("-mgf1", "");
            String mask = "SHA-" + words[words.length - 1];
            AlgorithmIdentifier oaep = new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(
                    PKCSObjectIdentifiers.id_RSAES_OAEP,
                    new OAEPParameterSpec(hash, "MGF1", new MGF1ParameterSpec(mask), PSource.PSpecified.DEFAULT));
            return new JceKeyTransRecipientInfoGenerator(recipient, oaep).setProvider(BC);
        }
        if (algorithm.equals("RSA")) {
            return new JceKeyTransRecipientInfoGenerator(recipient).setProvider(BC);
        }
        KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", BC);
        pairs.initialize(((java.security.interfaces.ECPublicKey) recipient.getPublicKey()).getParams());
        KeyPair pair = pairs.generateKeyPair();
        ASN1ObjectIdentifier agreement = (ASN1ObjectIdentifier) CMSAlgorithm.class
                .getField("ECDH_" + wrap.toUpperCase() + "KDF").get(null);
        ASN1ObjectIdentifier keyWrap = (ASN1ObjectIdentifier) CMSAlgorithm.class
                .getField(cipher.substring(0, 6) + "_WRAP").get(null);
        return new JceKeyAgreeRecipientInfoGenerator(agreement, pair.getPrivate(), pair.getPublic(), keyWrap)
                .addRecipient(recipient).setProvider(BC);
    }

    static byte[] decrypt(byte[] der, PrivateKey key, X509Certificate certificate) throws Exception {
        ASN1ObjectIdentifier type = ContentInfo.getInstance(ASN1Primitive.fromByteArray(der)).getContentType();
        RecipientInformationStore infos = type.getId().equals("1.2.840.113549.1.9.16.1.23")
                ? new CMSAuthEnvelopedData(der).getRecipientInfos() : new CMSEnvelopedData(der).getRecipientInfos();
        boolean rsa = key.getAlgorithm().equals("RSA");
        RecipientInformation info = rsa ? infos.get(new JceKeyTransRecipientId(certificate))
                : infos.get(new JceKeyAgreeRecipientId(certificate));
        if (info == null) {
            throw new IllegalStateException("not a recipient");
        }
        Recipient recipient = rsa ? new JceKeyTransEnvelopedRecipient(key).setProvider(BC)
                : new JceKeyAgreeEnvelopedRecipient(key).setProvider(BC);
        return info.getContent(recipient);
    }

    static byte[] compress(byte[] content) throws Exception {
        return new CMSCompressedDataGenerator().generate(new CMSProcessableByteArray(content), new ZlibCompressor())
                .getEncoded();
    }

    // RFC 3161. The imprint is SHA-256.
    static TimeStampRequest request(byte[] imprint) {
        TimeStampRequestGenerator generator = new TimeStampRequestGenerator();
        generator.setCertReq(true);
        return generator.generate(TSPAlgorithms.SHA256, imprint, new BigInteger(1, imprint).shiftRight(200));
    }

    /** Time in milliseconds, as text. */
    static byte[] checkResponse(byte[] response, byte[] request, X509Certificate authority) throws Exception {
        TimeStampResponse answer = new TimeStampResponse(response);
        answer.validate(new TimeStampRequest(request));
        if (answer.getTimeStampToken() == null) {
            throw new IllegalStateException("refused: " + answer.getStatusString());
        }
        return validate(answer.getTimeStampToken(), authority);
    }

    static byte[] verifyToken(byte[] token, byte[] imprint, X509Certificate authority) throws Exception {
        TimeStampToken stamp = new TimeStampToken(new CMSSignedData(token));
        if (!java.util.Arrays.equals(stamp.getTimeStampInfo().getMessageImprintDigest(), imprint)) {
            throw new IllegalStateException("another imprint");
        }
        return validate(stamp, authority);
    }

    static byte[] validate(TimeStampToken stamp, X509Certificate authority) throws Exception {
        stamp.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(authority));
        return Long.toString(stamp.getTimeStampInfo().getGenTime().getTime()).getBytes(StandardCharsets.US_ASCII);
    }

    /** The signature-time-stamp attribute of the first signer (RFC 3161 appendix A) checked over its signature. */
    static byte[] stamped(byte[] der, X509Certificate authority) throws Exception {
        SignerInformation signer = new CMSSignedData(der).getSignerInfos().getSigners().iterator().next();
        AttributeTable table = signer.getUnsignedAttributes();
        Attribute attribute = table == null ? null : table.get(TIME_STAMP);
        if (attribute == null) {
            throw new IllegalStateException("no time-stamp");
        }
        ASN1Encodable token = attribute.getAttrValues().getObjectAt(0);
        TimeStampToken stamp = new TimeStampToken(
                new CMSSignedData(token.toASN1Primitive().getEncoded("DER")));
        String hash = stamp.getTimeStampInfo().getMessageImprintAlgOID().getId();
        byte[] digest = java.security.MessageDigest.getInstance(hash, BC).digest(signer.getSignature());
        return verifyToken(token.toASN1Primitive().getEncoded("DER"), digest, authority);
    }

    static byte[] token(byte[] imprint, PrivateKey key, X509Certificate certificate) throws Exception {
        TimeStampTokenGenerator generator = new TimeStampTokenGenerator(
                new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().setProvider(BC).build())
                        .build(new JcaContentSignerBuilder("SHA256WITHECDSA").setProvider(BC).build(key), certificate),
                new JcaDigestCalculatorProviderBuilder().setProvider(BC).build()
                        .get(new AlgorithmIdentifier(new ASN1ObjectIdentifier(TSPAlgorithms.SHA256.getId()))),
                new ASN1ObjectIdentifier("1.3.6.1.4.1.99999.1"));
        generator.addCertificates(new JcaCertStore(Collections.singletonList(certificate)));
        return generator.generate(request(imprint), BigInteger.valueOf(System.nanoTime()), new Date()).getEncoded();
    }

    static PrivateKey key(String word) throws Exception {
        PrivateKeyInfo info = PrivateKeyInfo.getInstance(bytes(word));
        String algorithm = info.getPrivateKeyAlgorithm().getAlgorithm().getId();
        return KeyFactory.getInstance(algorithm, BC).generatePrivate(new PKCS8EncodedKeySpec(bytes(word)));
    }

    static X509Certificate cert(String word) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", BC)
                .generateCertificate(new ByteArrayInputStream(bytes(word)));
    }

    static List<X509Certificate> certs(String words) throws Exception {
        List<X509Certificate> all = new ArrayList<>();
        for (String word : words.split(",")) {
            all.add(cert(word));
        }
        return all;
    }

    static byte[] bytes(String word) {
        return word.equals("-") ? new byte[0] : Base64.getDecoder().decode(word);
    }

    static String text(String word) {
        return new String(bytes(word), StandardCharsets.UTF_8);
    }

    static String encode(byte[] octets) {
        return octets.length == 0 ? "-" : Base64.getEncoder().encodeToString(octets);
    }
}
