/* SPDX-License-Identifier: MIT */
/* Sheets of certificates and of entries of the Allowed Hosts; `changed` ones are compared with the one
 * before. */
#include "ctl/certificate.h"

#include "common/names.h"
#include "common/printable.h"
#include "ctl/show.h"

/* Rows of a certificate's sheet, in order of how telling they are. */
static const struct {
        const char *label, *path;
        bool digest;
} rows[] = {
        { "subject", "subject", false },
        { "names", "subjectAltNames", false },
        { "issuer", "issuer", false },
        { "valid from", "notBefore", false },
        { "valid until", "notAfter", false },
        { "serial", "serial", false },
        { "key", "keyAlgorithm", false },
        { "key size", "keySize", false },
        { "signature", "signatureAlgorithm", false },
        { "SHA-256", "fingerprintSha256", true },
        { "SHA-256 of key", "publicKeySha256", true },
};

/* Of a digit of fingerprint_normal(), which are lower case. */
static int digit_value(char c)
{
        return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Colons between the bytes, in two lines, as `openssl x509 -fingerprint` users compare them. */
static char *digest_lines(const char *text)
{
        uint8_t digest[32];
        scoped(scoped_free) char *hex = fingerprint_normal(text);
        if (!hex || strlen(hex) != 64)
                return copy_text(text);
        for (size_t i = 0; i < sizeof(digest); i++)
                digest[i] = (uint8_t)(digit_value(hex[2 * i]) << 4 | digit_value(hex[2 * i + 1]));
        char *out = fingerprint_text(digest);
        /* In the middle: 16 bytes of two digits and a colon, the last colon becomes the line end. */
        out[47] = '\n';
        return out;
}

static char *row_words(const json_t *certificate, size_t row)
{
        if (rows[row].digest)
                return digest_lines(json_text(certificate, rows[row].path));
        return json_words(json_at(certificate, rows[row].path));
}

void show_certificate(const json_t *certificate)
{
        for (size_t i = 0; i < count_of(rows); i++) {
                if (!json_at(certificate, rows[i].path))
                        continue;
                scoped(scoped_free) char *words = row_words(certificate, i);
                sheet_text(rows[i].label, words);
        }
}

/* Only rows that differ, the old value above the new. */
static void show_difference(const json_t *now, const json_t *before)
{
        for (size_t i = 0; i < count_of(rows); i++) {
                if (json_equal(json_at(now, rows[i].path), json_at(before, rows[i].path)))
                        continue;
                scoped(scoped_free) char *was = row_words(before, i);
                scoped(scoped_free) char *is = row_words(now, i);
                scoped(scoped_free) char *was_label = text_of("- %s", rows[i].label);
                scoped(scoped_free) char *is_label = text_of("+ %s", rows[i].label);
                sheet_text(was_label, was);
                sheet_text(is_label, is);
        }
}

/* How grave it is, in words that a person who decides can act on. */
static const char *class_words(const char *class)
{
        static const struct {
                const char *class, *words;
        } classes[] = {
                { "new", "new: no certificate has been approved here before" },
                { "changed", "changed: another certificate was approved here before" },
                { "regression", "REGRESSION: this server has verified without help before.\n"
                                "This is what an attack looks like: ask its operator first." },
        };
        for (size_t i = 0; i < count_of(classes); i++)
                if (same_text(class, classes[i].class))
                        return classes[i].words;
        return class;
}

/* A part of the code is enough: several of them are about the issuer. */
static bool has_error(const json_t *entry, const char *word)
{
        const json_t *errors = json_at(entry, "errors");
        for (size_t i = 0; i < json_array_size(errors); i++) {
                scoped(scoped_free) char *code = copy_text(json_text(json_array_get(errors, i), "code"));
                if (strcasestr(code, word))
                        return true;
        }
        return false;
}

/* An exemption is the second best: with its issuer in the store the next certificate passes too. */
static void show_better_way(const json_t *entry)
{
        const json_t *certificate = json_at(entry, "certificate");
        bool issuer = has_error(entry, "issuer") || has_error(entry, "self");
        bool own = same_text(json_text(certificate, "subject"), json_text(certificate, "issuer"));
        if (!issuer)
                return;
        scoped(scoped_free) char *name = json_words(json_at(certificate, "issuer"));
        scoped(scoped_free) char *words =
                own ? copy_text("Better than approving it: a certificate from an issuer of yours on that "
                                "server, and here")
                    : text_of("Better than approving it: get the certificate of its issuer (%s), and", name);
        show_prose(0, words);
        puts("\n  emailsecctl trust import FILE\n");
}

/* Each reason that verification has, with what mends it. */
static void show_errors(const json_t *entry)
{
        const json_t *errors = json_at(entry, "errors");
        if (json_array_size(errors) == 0)
                return;
        puts("\nWhat failed:");
        for (size_t i = 0; i < json_array_size(errors); i++) {
                const json_t *error = json_array_get(errors, i);
                show_advice(TINT_BAD, json_text(error, "text"), json_text(error, "remedy"));
        }
}

/* From the server's certificate up, as it was sent; the server need not send the root (RFC 8446
 * section 4.4.2). */
static void show_chain(const json_t *entry)
{
        const json_t *chain = json_at(entry, "chain");
        for (size_t i = 0; i < json_array_size(chain); i++) {
                const json_t *link = json_array_get(chain, i);
                scoped(scoped_free) char *label = text_of("chain %zu", i);
                sheet_format(label, "%s\nissued by %s", json_text(link, "subject"),
                             json_text(link, "issuer"));
        }
}

/* Who decided what, when there was more than the one decision that stands. */
static void show_history(const json_t *entry)
{
        const json_t *history = json_at(entry, "history");

        for (size_t i = 0; i < json_array_size(history) && json_array_size(history) > 1; i++) {
                const json_t *step = json_array_get(history, i);
                scoped(scoped_free) char *when = date_words(json_at(step, "time"));
                scoped(scoped_free) char *by = json_words(json_at(step, "by"));
                scoped(scoped_free) char *reason = json_words(json_at(step, "reason"));
                sheet_format(i ? "" : "history", "%s %s by %s%s%s", when, json_text(step, "what"), by,
                             json_text(step, "reason")[0] ? ": " : "",
                             json_text(step, "reason")[0] ? reason : "");
        }
}

static void show_decision(const json_t *entry)
{
        sheet_value("decided", entry, "decided");
        sheet_value("decided by", entry, "decidedBy");
        sheet_value("reason", entry, "reason");
        sheet_value("expires", entry, "expires");
        sheet_value("pins", entry, "pins");
        sheet_value("last seen", entry, "lastSeen");
        show_history(entry);
        if (json_flag(entry, "needless"))
                sheet_text("needless",
                           same_text(json_text(entry, "needlessBecause"), "unused")
                                   ? "yes: no account uses this server; emailsecctl allowed prune"
                                   : "yes: it verifies without help now; emailsecctl allowed prune");
}

/* What must be weighed stands first: a better way, the class, who uses it; the certificate comes
 * last. */
void show_entry(const json_t *entry, const json_t *replaced)
{
        scoped(scoped_free) char *place = printable_text(json_text(entry, "host"));
        scoped(scoped_free) char *title = text_of("%s:%lld", place, (long long)json_number(entry, "port"));
        sheet_title(title);
        if (same_text(json_text(entry, "state"), "pending"))
                show_better_way(entry);
        sheet_value("id", entry, "id");
        sheet_value("state", entry, "state");
        sheet_text("class", class_words(json_text(entry, "class")));
        sheet_value("accounts", entry, "accounts");
        sheet_value("first seen", entry, "created");
        show_decision(entry);
        show_errors(entry);
        puts("\nThe certificate it shows:");
        show_certificate(json_at(entry, "certificate"));
        show_chain(entry);
        if (json_is_object(replaced)) {
                scoped(scoped_free) char *id = json_words(json_at(replaced, "id"));
                printf("\nCompared with the one before (%s):\n", id);
                show_difference(json_at(entry, "certificate"), json_at(replaced, "certificate"));
        }
}
