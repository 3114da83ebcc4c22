/* SPDX-License-Identifier: MIT */
/* MAIL and RCPT: path and parameters. */
#include "common/esmtp/parts.h"
#include "common/names.h"
#include "common/printable.h"

#include <ctype.h>
#include <strings.h>

/* Of one command, as a bound; the others are those of ENVID and ORCPT (RFC 3461 sections 4.4 and
 * 4.2). */
enum { PARAMETERS_MOST = 16, ENVELOPE_ID_XTEXT = 100, ORIGINAL_RECIPIENT = 500 };

/* ---- paths ---- */

/* Length of the path with its brackets; a quoted local part may hold what ends it elsewhere. 0: it does not
 * end. */
static size_t path_length(const char *path)
{
        bool quoted = false;

        for (size_t i = 1; path[i]; i++) {
                if (quoted && path[i] == '\\' && path[i + 1])
                        i++;
                else if (path[i] == '"')
                        quoted = !quoted;
                else if (!quoted && path[i] == '>')
                        return i + 1;
        }
        return 0;
}

/* Cuts the address out of "FROM:<a@b> ...", or "FROM:a@b ..." as small devices write it; *rest: what follows.
 * NULL: there is none, and it was said. */
static char *take_path(struct esmtp *esmtp, char *text, const char *keyword, char **rest)
{
        size_t len = strlen(keyword);

        if (strncasecmp(text, keyword, len) != 0) {
                esmtp_wrong(esmtp, 501, "5.5.4", "write %s<ADDRESS>", keyword);
                return NULL;
        }
        char *path = text + len + strspn(text + len, " ");
        size_t whole = path[0] == '<' ? path_length(path) : strcspn(path, " ");
        if (!whole || (path[whole] && path[whole] != ' ')) {
                esmtp_wrong(esmtp, 501, "5.1.7", "write %s<ADDRESS>", keyword);
                return NULL;
        }
        *rest = path + whole + strspn(path + whole, " ");
        path[path[0] == '<' ? whole - 1 : whole] = '\0';
        return path[0] == '<' ? path + 1 : path;
}

/* ---- parameters ---- */

/* RFC 3461 section 4: + and two upper-case hex digits stand for a byte. False: it is no xtext, or holds a
 * NUL. */
static bool xtext_decode(char *text)
{
        char *to = text;

        for (const char *from = text; *from; to++) {
                static const char digits[] = "0123456789ABCDEF";
                if (*from != '+') {
                        if (*from < '!' || *from > '~' || *from == '=')
                                return false;
                        *to = *from++;
                        continue;
                }
                const char *high = from[1] ? strchr(digits, from[1]) : NULL;
                const char *low = high && from[2] ? strchr(digits, from[2]) : NULL;
                if (!low || (high == digits && low == digits))
                        return false;
                *to = (char)((high - digits) * 16 + (low - digits));
                from += 3;
        }
        *to = '\0';
        return true;
}

static void bad_value(struct esmtp *esmtp, const char *name)
{
        esmtp_wrong(esmtp, 501, "5.5.4", "the value of %s cannot be", name);
}

/* What is said to be too large is refused before it is sent (RFC 1870 section 6.1). */
static bool take_size(struct esmtp *esmtp, char *value)
{
        size_t digits = strspn(value, "0123456789");

        if (!digits || digits > 20 || value[digits]) {
                bad_value(esmtp, "SIZE");
                return false;
        }
        esmtp->envelope.size = strtoull(value, NULL, 10);
        if (esmtp->envelope.size <= esmtp->max_size)
                return true;
        esmtp_reply(esmtp, 552, "5.3.4", "the message is larger than the limit of %llu bytes",
                    (unsigned long long)esmtp->max_size);
        return false;
}

static bool take_body(struct esmtp *esmtp, char *value)
{
        if (strcasecmp(value, "7BIT") == 0 || strcasecmp(value, "8BITMIME") == 0)
                return true;
        esmtp_wrong(esmtp, 555, "5.5.4", "BODY is 7BIT or 8BITMIME");
        return false;
}

static bool take_utf8(struct esmtp *esmtp, unused_arg char *value)
{
        esmtp->envelope.utf8 = true;
        return true;
}

static bool take_ret(struct esmtp *esmtp, char *value)
{
        if (dsn_return(value, esmtp->envelope.ret, NULL) == 0)
                return true;
        bad_value(esmtp, "RET");
        return false;
}

static bool take_envid(struct esmtp *esmtp, char *value)
{
        if (strlen(value) > ENVELOPE_ID_XTEXT || !xtext_decode(value) || dsn_envelope_id(value, NULL) < 0) {
                bad_value(esmtp, "ENVID");
                return false;
        }
        free(esmtp->envelope.envelope_id);
        esmtp->envelope.envelope_id = copy_text(value);
        return true;
}

/* RFC 4954 section 5: who wrote it, as the client says; nothing here rests on it. */
static bool take_auth(struct esmtp *esmtp, char *value)
{
        if (xtext_decode(value) && strlen(value) <= ORIGINAL_RECIPIENT)
                return true;
        bad_value(esmtp, "AUTH");
        return false;
}

static bool take_notify(struct esmtp *esmtp, char *value)
{
        if (dsn_notify(value, esmtp->envelope.recipients[esmtp->envelope.recipient_count - 1].notify, NULL) ==
            0)
                return true;
        bad_value(esmtp, "NOTIFY");
        return false;
}

/* RFC 6533 section 3: one that is not xtext but UTF-8 itself. A server that has no SMTPUTF8 could not be told
 * it. */
static bool is_unitext(const struct esmtp *esmtp, const char *value)
{
        bool ascii = true;

        for (const char *c = value; *c; c++)
                ascii = ascii && (unsigned char)*c < 128;
        return esmtp->envelope.utf8 && !ascii && strncasecmp(value, "utf-8;", 6) == 0 &&
               strlen(value) <= ORIGINAL_RECIPIENT && utf8_valid(value, strlen(value)) &&
               text_is_clean(value);
}

/* The address that the client was given. */
static bool take_orcpt(struct esmtp *esmtp, char *value)
{
        if (is_unitext(esmtp, value))
                return true; /* it is not kept */
        if (strlen(value) > ORIGINAL_RECIPIENT || !xtext_decode(value) || dsn_original(value, NULL) < 0) {
                bad_value(esmtp, "ORCPT");
                return false;
        }
        esmtp->envelope.recipients[esmtp->envelope.recipient_count - 1].original = copy_text(value);
        return true;
}

struct esmtp_parameter {
        const char *name;
        bool has_value;
        bool (*heard)(struct esmtp *esmtp, char *value);
};
static const struct esmtp_parameter mail_parameters[] = {
        { "SIZE", true, take_size }, { "BODY", true, take_body },   { "SMTPUTF8", false, take_utf8 },
        { "RET", true, take_ret },   { "ENVID", true, take_envid }, { "AUTH", true, take_auth },
};
static const struct esmtp_parameter rcpt_parameters[] = {
        { "NOTIFY", true, take_notify },
        { "ORCPT", true, take_orcpt },
};

/* False: one of them is wrong, and it was said. Each at most once. */
static bool take_parameters(struct esmtp *esmtp, char *text, const struct esmtp_parameter *table,
                            size_t count)
{
        unsigned seen = 0;

        for (char *next; text[0]; text = next) {
                size_t len = strcspn(text, " "), name = strcspn(text, "= "), i = 0;
                next = text + len + strspn(text + len, " ");
                text[len] = '\0';
                bool has_value = text[name] == '=' && name < len;
                text[name] = '\0';
                while (i < count && strcasecmp(table[i].name, text) != 0)
                        i++;
                if (i == count || has_value != table[i].has_value || (seen & 1U << i) || !esmtp->extended) {
                        esmtp_wrong(esmtp, 555, "5.5.4", "the parameter %s is not known here, or not so",
                                    text);
                        return false;
                }
                seen |= 1U << i;
                if (!table[i].heard(esmtp, has_value ? text + name + 1 : text))
                        return false;
        }
        return true;
}

/* ---- commands ---- */

/* Addresses that need SMTPUTF8 come with it only (RFC 6531 section 3.4). */
static bool utf8_is_fine(struct esmtp *esmtp, const char *address)
{
        for (const char *c = address; *c && !esmtp->envelope.utf8; c++)
                if ((unsigned char)*c > 127) {
                        esmtp_wrong(esmtp, 553, "5.6.7",
                                    "an address with other letters than ASCII needs SMTPUTF8 at MAIL");
                        return false;
                }
        return true;
}

/* A name without a domain is one of this machine: what it stands for the owner knows. */
static int check_path(const char *address, bool null_allowed, struct cause *cause)
{
        scoped(scoped_free) char *whole = text_of("%s@local.invalid", address);

        return address_check(address[0] && !strchr(address, '@') ? whole : address, null_allowed, cause);
}

static void read_mail(struct esmtp *esmtp, char *rest)
{
        struct cause cause = { 0 };
        char *parameters, *address = take_path(esmtp, rest, "FROM:", &parameters);

        if (!address)
                return;
        esmtp->envelope.from = copy_text(address);
        if (!take_parameters(esmtp, parameters, mail_parameters, count_of(mail_parameters)))
                return;
        if (check_path(address, true, &cause) < 0)
                esmtp_wrong(esmtp, 553, "5.1.7", "%s", cause.text);
        else if (utf8_is_fine(esmtp, address))
                esmtp_wish(esmtp, ESMTP_MAIL);
}

void esmtp_on_mail(struct esmtp *esmtp, char *rest)
{
        if (!esmtp->hello) {
                esmtp_wrong(esmtp, 503, "5.5.1", "say EHLO first");
                return;
        }
        if (esmtp->has_mail) {
                esmtp_wrong(esmtp, 503, "5.5.1", "one message at a time: MAIL was said already");
                return;
        }
        read_mail(esmtp, rest);
        if (esmtp->state != STATE_WANTS)
                esmtp_reset(esmtp);
}

static struct esmtp_recipient *add_recipient(struct esmtp_envelope *envelope, const char *address)
{
        size_t count = envelope->recipient_count;

        if ((count & (count - 1)) == 0)
                envelope->recipients = new_resized(envelope->recipients, count ? 2 * count : 1,
                                                   sizeof *envelope->recipients);
        struct esmtp_recipient *fresh = &envelope->recipients[envelope->recipient_count++];
        *fresh = (struct esmtp_recipient){ .address = copy_text(address) };
        return fresh;
}

void esmtp_on_rcpt(struct esmtp *esmtp, char *rest)
{
        struct esmtp_envelope *envelope = &esmtp->envelope;
        struct cause cause = { 0 };
        char *parameters;

        if (!esmtp->has_mail || esmtp->in_message) {
                esmtp_wrong(esmtp, 503, "5.5.1",
                            esmtp->has_mail ? "the message has begun" : "say MAIL first");
                return;
        }
        char *address = take_path(esmtp, rest, "TO:", &parameters);
        if (!address)
                return;
        /* 452: the client names the others in its next transaction (RFC 5321 section 4.5.3.1.10). */
        if (envelope->recipient_count >= LIMIT_RECIPIENTS) {
                esmtp_reply(esmtp, 452, "4.5.3", "a message has at most %d recipients", LIMIT_RECIPIENTS);
                return;
        }
        if (check_path(address, false, &cause) < 0) {
                esmtp_wrong(esmtp, 553, "5.1.3", "%s", cause.text);
                return;
        }
        /* Added first: its parameters go to the one that is last. */
        (void)add_recipient(envelope, address);
        if (take_parameters(esmtp, parameters, rcpt_parameters, count_of(rcpt_parameters)) &&
            utf8_is_fine(esmtp, address))
                esmtp_wish(esmtp, ESMTP_RECIPIENT);
        else
                esmtp_drop_last_recipient(envelope);
}
