import java.nio.ByteBuffer;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Set;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.AuthEnvelopedData;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.cms.EncryptedContentInfo;
import org.bouncycastle.asn1.cms.EnvelopedData;
import org.bouncycastle.asn1.cms.GCMParameters;
import org.bouncycastle.asn1.cms.IssuerAndSerialNumber;
import org.bouncycastle.asn1.cms.KeyAgreeRecipientIdentifier;
import org.bouncycastle.asn1.cms.KeyAgreeRecipientInfo;
import org.bouncycastle.asn1.cms.OriginatorIdentifierOrKey;
import org.bouncycastle.asn1.cms.OriginatorPublicKey;
import org.bouncycastle.asn1.cms.RecipientEncryptedKey;
import org.bouncycastle.asn1.cms.RecipientInfo;
import org.bouncycastle.asn1.cms.ecc.ECCCMSSharedInfo;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.crypto.agreement.X25519Agreement;
import org.bouncycastle.crypto.digests.SHA256Digest;
import org.bouncycastle.crypto.engines.AESWrapEngine;
import org.bouncycastle.crypto.generators.HKDFBytesGenerator;
import org.bouncycastle.crypto.generators.KDF2BytesGenerator;
import org.bouncycastle.crypto.params.HKDFParameters;
import org.bouncycastle.crypto.params.KDFParameters;
import org.bouncycastle.crypto.params.KeyParameter;
import org.bouncycastle.crypto.params.X25519PrivateKeyParameters;
import org.bouncycastle.crypto.params.X25519PublicKeyParameters;

/**
 * RFC 8418: X25519 recipients, which Bouncy Castle 1.80's CMS classes do not know. Its ASN.1 classes, its curve, its
 * key derivation and its key wrap, put together from the RFC without a look at the gateway's code: a second reading.
 */
class X25519 {
    static final ASN1ObjectIdentifier HKDF_SHA256 = new ASN1ObjectIdentifier("1.2.840.113549.1.9.16.3.19");
    static final ASN1ObjectIdentifier X963_SHA256 = new ASN1ObjectIdentifier("1.3.132.1.11.1");
    static final ASN1ObjectIdentifier CURVE = new ASN1ObjectIdentifier("1.3.101.110");
    static final SecureRandom RANDOM = new SecureRandom();

    /** RFC 8418 2: key-encryption key out of the agreed secret. */
    static byte[] wrappingKey(ASN1ObjectIdentifier scheme, byte[] secret, AlgorithmIdentifier wrap, byte[] ukm,
                              int octets) throws Exception {
        byte[] bits = ByteBuffer.allocate(4).putInt(octets * 8).array();
        byte[] info = new ECCCMSSharedInfo(wrap, ukm, bits).getEncoded("DER");
        byte[] key = new byte[octets];
        if (scheme.equals(HKDF_SHA256)) {
            HKDFBytesGenerator generator = new HKDFBytesGenerator(new SHA256Digest());
            generator.init(new HKDFParameters(secret, ukm, info));
            generator.generateBytes(key, 0, octets);
        } else if (scheme.equals(X963_SHA256)) {
            KDF2BytesGenerator generator = new KDF2BytesGenerator(new SHA256Digest());
            generator.init(new KDFParameters(secret, info));
            generator.generateBytes(key, 0, octets);
        } else {
            throw new IllegalArgumentException("scheme " + scheme);
        }
        return key;
    }

    static int keyOctets(AlgorithmIdentifier wrap) {
        ASN1ObjectIdentifier oid = wrap.getAlgorithm();
        return oid.equals(NISTObjectIdentifiers.id_aes256_wrap) ? 32
                : oid.equals(NISTObjectIdentifiers.id_aes192_wrap) ? 24 : 16;
    }

    static byte[] agree(X25519PrivateKeyParameters mine, X25519PublicKeyParameters theirs) {
        X25519Agreement agreement = new X25519Agreement();
        agreement.init(mine);
        byte[] secret = new byte[agreement.getAgreementSize()];
        agreement.calculateAgreement(theirs, secret, 0);
        return secret;
    }

    static X25519PrivateKeyParameters privateKey(byte[] pkcs8) throws Exception {
        PrivateKeyInfo info = PrivateKeyInfo.getInstance(pkcs8);
        return new X25519PrivateKeyParameters(
                ASN1OctetString.getInstance(info.parsePrivateKey()).getOctets(), 0);
    }

    static byte[] decrypt(byte[] der, byte[] pkcs8, X509Certificate certificate) throws Exception {
        ContentInfo outer = ContentInfo.getInstance(der);
        boolean authenticated = outer.getContentType().equals(CMSObjectIdentifiers.authEnvelopedData);
        ASN1Set infos = authenticated ? AuthEnvelopedData.getInstance(outer.getContent()).getRecipientInfos()
                : EnvelopedData.getInstance(outer.getContent()).getRecipientInfos();
        byte[] contentKey = null;
        for (ASN1Encodable element : infos) {
            RecipientInfo info = RecipientInfo.getInstance(element);
            if (!(info.getInfo() instanceof KeyAgreeRecipientInfo)) {
                continue;
            }
            KeyAgreeRecipientInfo agreement = (KeyAgreeRecipientInfo) info.getInfo();
            OriginatorPublicKey originator = agreement.getOriginator().getOriginatorKey();
            if (originator == null || !originator.getAlgorithm().getAlgorithm().equals(CURVE)) {
                continue;
            }
            for (ASN1Encodable one : agreement.getRecipientEncryptedKeys()) {
                RecipientEncryptedKey encrypted = RecipientEncryptedKey.getInstance(one);
                IssuerAndSerialNumber name = encrypted.getIdentifier().getIssuerAndSerialNumber();
                if (name == null || !name.getSerialNumber().getValue().equals(certificate.getSerialNumber())) {
                    continue;
                }
                contentKey = unwrap(agreement, originator, encrypted, privateKey(pkcs8));
            }
        }
        if (contentKey == null) {
            throw new IllegalStateException("not a recipient");
        }
        SecretKeySpec key = new SecretKeySpec(contentKey, "AES");
        if (authenticated) {
            AuthEnvelopedData data = AuthEnvelopedData.getInstance(outer.getContent());
            EncryptedContentInfo content = data.getAuthEncryptedContentInfo();
            GCMParameters gcm = GCMParameters.getInstance(content.getContentEncryptionAlgorithm().getParameters());
            Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", "BC");
            cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(gcm.getIcvLen() * 8, gcm.getNonce()));
            byte[] octets = content.getEncryptedContent().getOctets();
            byte[] tag = data.getMac().getOctets();
            return cipher.doFinal(ByteBuffer.allocate(octets.length + tag.length).put(octets).put(tag).array());
        }
        EncryptedContentInfo content = EnvelopedData.getInstance(outer.getContent()).getEncryptedContentInfo();
        Cipher cipher = Cipher.getInstance("AES/CBC/PKCS5Padding", "BC");
        cipher.init(Cipher.DECRYPT_MODE, key, new IvParameterSpec(ASN1OctetString.getInstance(
                content.getContentEncryptionAlgorithm().getParameters()).getOctets()));
        return cipher.doFinal(content.getEncryptedContent().getOctets());
    }

    static byte[] unwrap(KeyAgreeRecipientInfo agreement, OriginatorPublicKey originator,
                         RecipientEncryptedKey encrypted, X25519PrivateKeyParameters mine) throws Exception {
        AlgorithmIdentifier scheme = agreement.getKeyEncryptionAlgorithm();
        AlgorithmIdentifier wrap = AlgorithmIdentifier.getInstance(scheme.getParameters());
        byte[] ukm = agreement.getUserKeyingMaterial() == null ? null
                : agreement.getUserKeyingMaterial().getOctets();
        byte[] secret = agree(mine, new X25519PublicKeyParameters(originator.getPublicKeyData().getOctets(), 0));
        AESWrapEngine engine = new AESWrapEngine();
        engine.init(false, new KeyParameter(
                wrappingKey(scheme.getAlgorithm(), secret, wrap, ukm, keyOctets(wrap))));
        byte[] octets = encrypted.getEncryptedKey().getOctets();
        return engine.unwrap(octets, 0, octets.length);
    }

    /** EnvelopedData with AES-256-CBC. `how`: hkdf or x963, with a ukm or without. */
    static byte[] encrypt(byte[] content, X509Certificate certificate, String how) throws Exception {
        byte[] contentKey = new byte[32];
        byte[] vector = new byte[16];
        RANDOM.nextBytes(contentKey);
        RANDOM.nextBytes(vector);
        byte[] ukm = null;
        if (how.contains("ukm")) {
            ukm = new byte[20];
            RANDOM.nextBytes(ukm);
        }
        SubjectPublicKeyInfo spki = SubjectPublicKeyInfo.getInstance(certificate.getPublicKey().getEncoded());
        X25519PrivateKeyParameters mine = new X25519PrivateKeyParameters(RANDOM);
        byte[] secret = agree(mine, new X25519PublicKeyParameters(spki.getPublicKeyData().getOctets(), 0));
        AlgorithmIdentifier wrap = new AlgorithmIdentifier(NISTObjectIdentifiers.id_aes256_wrap);
        ASN1ObjectIdentifier scheme = how.contains("hkdf") ? HKDF_SHA256 : X963_SHA256;
        AESWrapEngine engine = new AESWrapEngine();
        engine.init(true, new KeyParameter(wrappingKey(scheme, secret, wrap, ukm, 32)));
        RecipientEncryptedKey encrypted = new RecipientEncryptedKey(
                new KeyAgreeRecipientIdentifier(new IssuerAndSerialNumber(
                        X500Name.getInstance(certificate.getIssuerX500Principal().getEncoded()),
                        certificate.getSerialNumber())),
                new DEROctetString(engine.wrap(contentKey, 0, contentKey.length)));
        KeyAgreeRecipientInfo info = new KeyAgreeRecipientInfo(
                new OriginatorIdentifierOrKey(new OriginatorPublicKey(
                        new AlgorithmIdentifier(CURVE), mine.generatePublicKey().getEncoded())),
                ukm == null ? null : new DEROctetString(ukm),
                new AlgorithmIdentifier(scheme, wrap), new DERSequence(encrypted));
        Cipher cipher = Cipher.getInstance("AES/CBC/PKCS5Padding", "BC");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(contentKey, "AES"), new IvParameterSpec(vector));
        EncryptedContentInfo body = new EncryptedContentInfo(CMSObjectIdentifiers.data,
                new AlgorithmIdentifier(NISTObjectIdentifiers.id_aes256_CBC, new DEROctetString(vector)),
                new DEROctetString(cipher.doFinal(content)));
        return new ContentInfo(CMSObjectIdentifiers.envelopedData,
                new EnvelopedData(null, new DERSet(new RecipientInfo(info)), body, (ASN1Set) null))
                .getEncoded("DER");
    }
}
