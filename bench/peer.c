/*
 * The C loop: OpenSSL's own S/MIME in memory, linked to libcrypto, keys loaded once.
 *
 * Started with a directory: signer.pem (certificate), signer.key, chain.pem, recipient.pem, recipient.key,
 * entity-SIZE (a MIME entity, CRLF), mail-SIZE-CIPHER (the sealed mail that `open` reads).
 * Requests, one a line:  seal SIZE CIPHER COUNT | open SIZE CIPHER COUNT | write SIZE CIPHER 0
 * Answer: the CPU seconds of COUNT mails (write: 0, and the sealed mail in NAME-SIZE-CIPHER).
 *
 * NAME, the second argument, is 'c' or 'cbinary': 'c' signs as S/MIME programs do, so that libcrypto brings the content
 * into canonical form; 'cbinary' trusts that it is (CMS_BINARY), which is faster. Chains are not verified, which makes
 * the peer faster; ours do not verify them either.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static const char *home, *self;
static int binary;
static X509 *signer, *recipient;
static EVP_PKEY *signer_key, *recipient_key;
static STACK_OF(X509) *chain, *recipients;

static void fail(const char *what)
{
    fprintf(stderr, "bench peer: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static char *path(const char *name)
{
    static char buffer[4096];
    snprintf(buffer, sizeof buffer, "%s/%s", home, name);
    return buffer;
}

static BIO *file(const char *name)
{
    BIO *bio = BIO_new_file(path(name), "rb");
    if (bio == NULL)
        fail(name);
    return bio;
}

static char *slurp(const char *name, int *length)
{
    BIO *bio = file(name), *memory = BIO_new(BIO_s_mem());
    char chunk[65536], *octets, *copy;
    int got;
    long size;
    while ((got = BIO_read(bio, chunk, sizeof chunk)) > 0)
        BIO_write(memory, chunk, got);
    size = BIO_get_mem_data(memory, &octets);
    copy = malloc((size_t)size + 1);
    memcpy(copy, octets, (size_t)size);
    *length = (int)size;
    BIO_free(memory);
    BIO_free(bio);
    return copy;
}

static BIO *seal(const char *entity, int length, const EVP_CIPHER *cipher)
{
    int sign_flags = CMS_DETACHED | CMS_STREAM | binary, write_flags = CMS_CRLFEOL | binary;
    BIO *in = BIO_new_mem_buf(entity, length), *inner = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    CMS_ContentInfo *cms = CMS_sign(signer, signer_key, chain, in, sign_flags);
    if (cms == NULL || !SMIME_write_CMS(inner, cms, in, sign_flags | write_flags))
        fail("sign");
    CMS_ContentInfo_free(cms);
    BIO_puts(out, "From: bank@bank.example\r\nTo: customer@customer.example\r\nSubject: [...]\r\n");
    cms = CMS_encrypt(recipients, inner, cipher, CMS_BINARY | CMS_STREAM);
    if (cms == NULL || !SMIME_write_CMS(out, cms, inner, CMS_STREAM | write_flags))
        fail("encrypt");
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    BIO_free(inner);
    return out;
}

static void open_mail(const char *mail, int length)
{
    BIO *in = BIO_new_mem_buf(mail, length), *inner = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    BIO *content = NULL;
    CMS_ContentInfo *cms = SMIME_read_CMS(in, NULL);
    if (cms == NULL || !CMS_decrypt(cms, recipient_key, recipient, NULL, inner, CMS_BINARY))
        fail("decrypt");
    CMS_ContentInfo_free(cms);
    cms = SMIME_read_CMS(inner, &content);
    if (cms == NULL || content == NULL
            || !CMS_verify(cms, NULL, NULL, content, out, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY))
        fail("verify");
    CMS_ContentInfo_free(cms);
    BIO_free(content);
    BIO_free(in);
    BIO_free(inner);
    BIO_free(out);
}

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
        + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    char verb[16], size[16], cipher_name[32], name[64], line[256];
    int count, length;
    BIO *bio;
    if (argc != 3)
        fail("usage: peer DIRECTORY c|cbinary");
    home = argv[1];
    self = argv[2];
    binary = strcmp(self, "cbinary") == 0 ? CMS_BINARY : 0;
    signer = PEM_read_bio_X509(bio = file("signer.pem"), NULL, NULL, NULL);
    BIO_free(bio);
    recipient = PEM_read_bio_X509(bio = file("recipient.pem"), NULL, NULL, NULL);
    BIO_free(bio);
    signer_key = PEM_read_bio_PrivateKey(bio = file("signer.key"), NULL, NULL, NULL);
    BIO_free(bio);
    recipient_key = PEM_read_bio_PrivateKey(bio = file("recipient.key"), NULL, NULL, NULL);
    BIO_free(bio);
    if (signer == NULL || recipient == NULL || signer_key == NULL || recipient_key == NULL)
        fail("keys");
    chain = sk_X509_new_null();
    sk_X509_push(chain, PEM_read_bio_X509(bio = file("chain.pem"), NULL, NULL, NULL));
    BIO_free(bio);
    recipients = sk_X509_new_null();
    sk_X509_push(recipients, recipient);

    printf("ready %s\n", OpenSSL_version(OPENSSL_VERSION));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        double started;
        char *octets;
        const EVP_CIPHER *cipher;
        if (sscanf(line, "%15s %15s %31s %d", verb, size, cipher_name, &count) != 4)
            fail("request");
        cipher = strcmp(cipher_name, "gcm") == 0 ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
        if (strcmp(verb, "open") == 0)
            snprintf(name, sizeof name, "mail-%s-%s", size, cipher_name);
        else
            snprintf(name, sizeof name, "entity-%s", size);
        octets = slurp(name, &length);
        started = cpu_seconds();
        if (strcmp(verb, "write") == 0) {
            char *data;
            BIO *mail = seal(octets, length, cipher), *out;
            long written = BIO_get_mem_data(mail, &data);
            snprintf(name, sizeof name, "%s-%s-%s", self, size, cipher_name);
            out = BIO_new_file(path(name), "wb");
            BIO_write(out, data, (int)written);
            BIO_free(out);
            BIO_free(mail);
        }
        for (; count > 0; count--) {
            if (strcmp(verb, "seal") == 0)
                BIO_free(seal(octets, length, cipher));
            else
                open_mail(octets, length);
        }
        printf("%.6f\n", cpu_seconds() - started);
        fflush(stdout);
        free(octets);
    }
    return 0;
}
