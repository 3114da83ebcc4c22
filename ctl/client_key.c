/* SPDX-License-Identifier: MIT */
/* Opening a client certificate's file: the passphrase comes from a person or a pipe, the work is in pem.c. */
#include "ctl/client_key.h"

#include "ctl/ask.h"
#include "ctl/part_load.h"
#include "ctl/pem.h"
#include "ctl/term.h"

struct asking {
        const struct tool *tool;
        const char *name, *path;
        char *passphrase; /* NULL: not asked for, or not given */
        bool over;
        struct cause *cause;
};

static const char *ask_passphrase(void *ctx)
{
        struct asking *asking = ctx;

        if (asking->over)
                return asking->passphrase;
        asking->over = true;
        if (same_text(asking->path, "-") && !term_input()) {
                (void)cause_set(asking->cause, CAUSE_INVALID,
                                "it has a passphrase, and standard input is the file itself");
                cause_remedy(asking->cause, "emailsecctl trust key import %s FILE", asking->name);
        } else {
                asking->passphrase =
                        secret_of_person(asking->tool, "passphrase", asking->path, asking->cause);
        }
        return asking->passphrase;
}

static int tell_legacy(const struct asking *asking, const char *command)
{
        (void)cause_set(asking->cause, CAUSE_INVALID,
                        "it is encrypted by an algorithm too old for OpenSSL's default provider");
        cause_remedy(asking->cause, "%s | emailsecctl trust key import %s -", command, asking->name);
        return -1;
}

static int told(const struct asking *asking, enum pem_result result)
{
        switch (result) {
        case PEM_MADE:
        case PEM_AS_IS:
                return 0;
        case PEM_UNASKED:
                return -1;
        case PEM_WRONG:
                return cause_set(asking->cause, CAUSE_INVALID, "%sit is damaged",
                                 asking->passphrase ? "the passphrase is wrong, or " : "");
        case PEM_LEGACY_PKCS12:
                return tell_legacy(asking, "openssl pkcs12 -legacy -in FILE -nodes");
        case PEM_LEGACY_KEY:
                return tell_legacy(asking,
                                   "(openssl crl2pkcs7 -nocrl -certfile FILE | openssl pkcs7 -print_certs; "
                                   "openssl pkey -provider legacy -provider default -in FILE)");
        case PEM_UNWRITABLE:
                break;
        }
        return cause_set(asking->cause, CAUSE_INVALID,
                         "its private key is of a kind that PEM has no form for");
}

int client_key_open(const struct tool *tool, const char *name, const char *path, struct buf *content,
                    struct cause *cause)
{
        static const struct part part = { PEM_OBJECT, PEM_ENTRY, PEM_PART_VERSION, "the part for keys",
                                          "libcrypto" };
        const struct pem_functions *pem = part_load(&part, cause);
        struct asking asking = { .tool = tool, .name = name, .path = path, .cause = cause };
        char *made = NULL;
        size_t len = 0;

        if (!pem)
                return -1;
        enum pem_result opened =
                pem->open(buf_bytes(content), content->len, ask_passphrase, &asking, &made, &len);
        int result = told(&asking, opened);
        if (opened == PEM_MADE) {
                buf_wipe(content);
                if (buf_append(content, made, len))
                        result =
                                cause_set(cause, CAUSE_TOO_LARGE, "it is larger than any client certificate");
        }
        pem->wipe(made, len);
        free_secret(asking.passphrase);
        return result;
}
