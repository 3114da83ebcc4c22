/* SPDX-License-Identifier: MIT */
/* `trust key ...`: client certificates with their private keys, for servers that ask for one. A key goes to
 * the daemon and never comes back. The daemon takes plain PEM only; other forms are opened by pem.c. */

#include "common/json_fields.h"
#include "common/limits.h"
#include "ctl/ask.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/part_load.h"
#include "ctl/pem.h"
#include "ctl/read_file.h"
#include "ctl/show.h"
#include "ctl/submit.h"
#include "ctl/term.h"

/* ---- the file of a certificate, opened here where it has a passphrase ---- */

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

        /* Once for a file, however many of its parts have the passphrase. */
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

/* Makes PKCS#12, and PEM whose key is encrypted, into PEM with certificate, issuers and plain key; anything
 * else stays as it is, for the daemon to judge. The passphrase is asked for only where there is one, of a
 * person or a pipe. `name` and `path` are what the person gave. 0, or -1 with a cause. */
static int client_key_open(const struct tool *tool, const char *name, const char *path, struct buf *content,
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

/* ---- commands ---- */

static int list_keys(struct tool *tool)
{
        static const struct column columns[] = {
                { "NAME", "name", NULL, COLUMN_WHOLE },
                { "FINGERPRINT", "certificate.fingerprintSha256", digest_words, 0 },
                { "SUBJECT", "certificate.subject", NULL, 0 },
                { "VALID UNTIL", "certificate.notAfter", date_words, 0 },
                { "FAULT", "fault", NULL, COLUMN_BELOW },
        };
        return tool_show_list(tool, TRUST("ListKeys"), NULL, "keys", columns, count_of(columns),
                              "There is no client certificate: emailsecctl trust key import NAME FILE");
}

static int tell_key(struct tool *tool, const json_t *answer, const char *done)
{
        if (tool->json)
                show_json(json_at(answer, "key"));
        else
                show_done(tool, "%s: %s", json_text(answer, "key.name"), done);
        return EXIT_DONE;
}

static int import_key(struct tool *tool)
{
        struct cause cause = { 0 };
        struct buf content = BUF_WITH_MAX(4 * LIMIT_SECRET); /* the daemon says what is too large */
        const char *file = same_text(tool_word(tool, 2), "-") ? "standard input" : tool_word(tool, 2);
        if (!tool_word(tool, 1) || !file)
                return tell_usage(tool, "'trust key import' needs NAME and FILE");
        if (read_file_whole(tool_word(tool, 2), &content, &cause)) {
                buf_wipe(&content);
                if (cause.code == CAUSE_TOO_LARGE)
                        (void)cause_set(&cause, CAUSE_TOO_LARGE, "%s is larger than any client certificate",
                                        file);
                return tell_cause(&cause);
        }
        if (client_key_open(tool, tool_word(tool, 1), tool_word(tool, 2), &content, &cause)) {
                buf_wipe(&content);
                cause_prefix(&cause, "%s: ", file);
                return tell_cause(&cause);
        }
        /* Each copy of the key is overwritten as soon as the next is made, that of the call by
         * begin_call(). */
        char *text = base64_encode(buf_bytes(&content), content.len);
        buf_wipe(&content);
        struct tool_call call = { .method = TRUST("ImportKey"),
                                  .parameters = parameters_of("name", tool_word(tool, 1)),
                                  .fd = -1,
                                  .secret = true };
        parameter_text(call.parameters, "key", text);
        free_secret(text);
        struct causes failures = { 0 };
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_once(tool, call, &answer, &failures) ? tell_causes(&failures) : EXIT_DONE;
        causes_free(&failures);
        return status ? status : tell_key(tool, answer, "stored; an account uses it by clientCertificate");
}

static int delete_key(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        if (!tool_word(tool, 1))
                return tell_usage(tool, "'trust key delete' needs NAME");
        int status =
                call_daemon(tool, TRUST("DeleteKey"), parameters_of("name", tool_word(tool, 1)), &answer);
        return status ? status : tell_key(tool, answer, "deleted");
}

int run_trust_key(struct tool *tool)
{
        static const struct {
                const char *word;
                command_run *run;
                size_t words;
        } rows[] = { { "list", list_keys, 1 }, { "import", import_key, 3 }, { "delete", delete_key, 2 } };
        size_t i = 0;

        /* Other words were refused before, by check_words(): the last row needs no look. */
        while (i + 1 < count_of(rows) && !same_text(rows[i].word, tool_word(tool, 0)))
                i++;
        if (tool->word_count > rows[i].words)
                return tell_usage(tool, "unexpected argument: %s", tool_word(tool, rows[i].words));
        return rows[i].run(tool);
}
