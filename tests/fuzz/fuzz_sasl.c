/* SPDX-License-Identifier: MIT */
/* A server's challenges, a line each, to every mechanism; the first byte chooses. The password is in no
 * cause. */
#include "common/json_fields.h"
#include "daemon/sasl/mechanism.h"
#include "fuzz.h"

static const char *const mechanisms[] = { "SCRAM-SHA-256-PLUS",
                                          "SCRAM-SHA-1-PLUS",
                                          "SCRAM-SHA-256",
                                          "SCRAM-SHA-1",
                                          "CRAM-MD5",
                                          "PLAIN",
                                          "LOGIN",
                                          "OAUTHBEARER",
                                          "XOAUTH2",
                                          "EXTERNAL" };

/* What must be worked out off the loop, here at once where the server asks for few rounds. */
static char *answer(struct sasl *sasl, const char *challenge, struct cause *cause)
{
        struct calculation *calculation = sasl_calculation(sasl, challenge);

        if (!calculation)
                return sasl_feed(sasl, challenge, cause);
        calculation->work(calculation);
        char *said = sasl_calculated(sasl, calculation, cause);
        calculation->free(calculation);
        return said;
}

static void talk(struct sasl *sasl, const char *text)
{
        struct cause cause = { 0 };

        free_secret(sasl_first(sasl, &cause));
        for (const char *at = text; cause.code == CAUSE_NONE && *at;) {
                size_t len = strcspn(at, "\n");
                scoped(scoped_free) char *raw = copy_bytes(at, len);
                scoped(scoped_free) char *challenge = base64_encode(raw, len);
                const char *rounds = strstr(raw, "i=");
                if (!rounds ||
                    strspn(rounds + 2, "0123456789") < 5) /* no input asks for millions of rounds */
                        free_secret(answer(sasl, challenge, &cause));
                at += len + (at[len] == '\n');
        }
        if (cause.code == CAUSE_NONE)
                (void)!sasl_finish(sasl, NULL, &cause);
        fuzz_must(!strstr(cause.text, "s3cretWord"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct signin signin = { .user = "u",
                                 .secret = "s3cretWord",
                                 .mechanism = "auto",
                                 .allow_plaintext = true,
                                 .service = "imap",
                                 .host = "mail.example.net",
                                 .port = 993 };
        struct engine_channel channel = { .tls = true, .binding.present = true };
        struct cause cause = { 0 };

        if (!size)
                return 0;
        scoped(scoped_free) char *text = copy_bytes((const char *)data + 1, size - 1);
        (void)sasl_choose(&signin, &channel, text, NULL, &cause);
        struct sasl *sasl = sasl_new(&signin, &channel, mechanisms[data[0] % count_of(mechanisms)], &cause);
        if (sasl)
                talk(sasl, text);
        sasl_free(sasl);
        return 0;
}
