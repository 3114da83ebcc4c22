/* SPDX-License-Identifier: MIT */
/*
 * MAIL and RCPT: what of a message this server can carry, and the lines. Everything put
 * into a line was checked when it was submitted and is checked here again (rule 22).
 */
#include "common/dsn.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/smtp/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

enum { ENVID_MAX = 100, ORCPT_MAX = 500 }; /* RFC 3461 sections 4.4 and 4.2 */

/* Nothing that could end the path or the line, wherever the address came from. */
static bool is_path(const char *address)
{
        for (const char *c = address; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '<' || *c == '>')
                        return false;
        return true;
}

static int check_path(const char *address, bool null_allowed, struct cause *cause)
{
        struct cause why = { 0 };

        if (is_path(address) && address_check(address, null_allowed, &why) == 0)
                return 0;
        return cause_set(cause, CAUSE_UNSENDABLE, "\"%s\" is no address that SMTP can carry%s%s", address,
                         why.text[0] ? ": " : "", why.text);
}

/* RFC 6531 section 3.2: what needs SMTPUTF8 is the header (the owner's word) and a local part; a domain has
 * its A-labels. The one place where that is decided. */
static bool needs_utf8(const struct smtp_mail *mail)
{
        if (mail->utf8 || address_needs_utf8(mail->from))
                return true;
        for (size_t i = smtp_recipient_from(mail, 0); i < mail->recipient_count;
             i = smtp_recipient_from(mail, i + 1))
                if (address_needs_utf8(mail->recipients[i].address))
                        return true;
        return false;
}

static int check_size(const struct smtp_mail *mail, const struct smtp_capabilities *can, struct cause *cause)
{
        char has[32], takes[32];

        if (!can->max_size || mail->size <= can->max_size)
                return 0;
        size_text(mail->size, has);
        size_text(can->max_size, takes);
        (void)cause_set(cause, CAUSE_UNSENDABLE,
                        "the message has %s (%" PRIu64 " bytes), the server takes %s (%" PRIu64 ")", has,
                        mail->size, takes, can->max_size);
        cause_remedy(cause, "make the message smaller, or send it by another account");
        return -1;
}

static int check_recipient(const struct smtp_recipient *r, const struct smtp_capabilities *can,
                           struct cause *cause)
{
        if (check_path(r->address, false, cause))
                return -1;
        if (address_needs_utf8(r->address) && !can->smtputf8)
                return cause_set(
                        cause, CAUSE_UNSENDABLE,
                        "%s is not ASCII before the @ and the server does not take that (no SMTPUTF8)",
                        r->address);
        return 0;
}

int smtp_envelope_check(struct smtp_mail *mail, const struct smtp_capabilities *can, struct cause *cause)
{
        struct cause why = { 0 };

        if (check_size(mail, can, cause) || check_path(mail->from, true, cause))
                return -1;
        if (mail->eight_bit && !can->eight_bit)
                return cause_set(cause, CAUSE_UNSENDABLE,
                                 "the message has 8-bit characters and the server does not take them (no "
                                 "8BITMIME): submit "
                                 "it as quoted-printable or base64");
        if ((mail->utf8 || address_needs_utf8(mail->from)) && !can->smtputf8)
                return cause_set(cause, CAUSE_UNSENDABLE,
                                 "the sender or the header is not ASCII and the server does not take that "
                                 "(no SMTPUTF8)");
        for (size_t i = smtp_recipient_from(mail, 0); i < mail->recipient_count;
             i = smtp_recipient_from(mail, i + 1))
                if (check_recipient(&mail->recipients[i], can, &why))
                        smtp_outcome_set(&mail->recipients[i], OUTCOME_REFUSED, why.code, why.text);
        return 0;
}

bool smtp_envelope_fits(const struct smtp_mail *mail, const struct smtp_capabilities *can)
{
        return check_size(mail, can, NULL) == 0 && (!mail->eight_bit || can->eight_bit) &&
               (!needs_utf8(mail) || can->smtputf8);
}

/* xtext (RFC 3461 section 4) after `front`; NULL when there is nothing or it is over `max`. The caller
 * frees. */
static char *xtext(const char *front, const char *text, size_t max)
{
        struct buf to = BUF_WITH_MAX(strlen(front) + max + 1);
        int full = buf_append_text(&to, front);

        for (; *text && !full; text++) {
                unsigned char c = (unsigned char)*text;
                bool plain = c > ' ' && c < 0x7f && c != '+' && c != '=';
                full = plain ? buf_append(&to, text, 1) : buf_appendf(&to, "+%02X", (unsigned)c);
        }
        if (full) {
                buf_free(&to);
                return NULL;
        }
        return buf_take_text(&to);
}

static const char *ret_parameter(const char *ret)
{
        return strcasecmp(ret, "FULL") == 0 ? " RET=FULL" : strcasecmp(ret, "HDRS") == 0 ? " RET=HDRS" : "";
}

/* The caller frees; NULL: it is not said. */
static char *envid_parameter(const char *envid)
{
        return envid && envid[0] ? xtext(" ENVID=", envid, ENVID_MAX) : NULL;
}

bool smtp_envelope_say_mail(struct smtp_session *session, const struct smtp_mail *mail)
{
        const struct smtp_capabilities *can = &session->can;
        bool plain = session->known->no_mail_parameters, utf8 = needs_utf8(mail), dsn = can->dsn && !plain;
        const char *ret = dsn && mail->ret ? ret_parameter(mail->ret) : "";
        scoped(scoped_free) char *envid = dsn ? envid_parameter(mail->envid) : NULL;
        char size[40] = "";

        if (can->size_known && !plain)
                (void)snprintf(size, sizeof size, " SIZE=%" PRIu64, mail->size);
        const char *body = (mail->eight_bit || utf8) && can->eight_bit && !plain ? " BODY=8BITMIME" : "";
        scoped(scoped_free) char *from = address_on_wire(mail->from);
        engine_say_gated(&session->engine, "MAIL FROM:<%s>%s%s%s%s%s", from, size, body,
                         utf8 ? " SMTPUTF8" : "", ret, envid ? envid : "");
        return size[0] || body[0] || ret[0] || envid;
}

/* "NEVER" or a list of the other three; nothing else goes out. */
static bool is_notify(const char *value)
{
        static const char *const words[] = { "SUCCESS", "FAILURE", "DELAY" };

        if (strcasecmp(value, "NEVER") == 0)
                return true;
        do {
                size_t len = strcspn(value, ",");
                bool known = false;
                for (size_t i = 0; i < count_of(words); i++)
                        known |= strlen(words[i]) == len && strncasecmp(words[i], value, len) == 0;
                if (!known)
                        return false;
                value += len;
        } while (*value++ == ',');
        return true;
}

/* " ORCPT=rfc822;address", where the value may name its own type. */
static char *orcpt_of(const char *value)
{
        const char *type_end = strchr(value, ';');
        size_t type_len = type_end ? (size_t)(type_end - value) : 0;
        char front[48] = " ORCPT=rfc822;";

        if (type_len && type_len < 24 &&
            strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789-") == type_len) {
                (void)snprintf(front, sizeof front, " ORCPT=%.*s;", (int)type_len, value);
                value = type_end + 1;
        }
        return xtext(front, value, ORCPT_MAX);
}

bool smtp_envelope_say_recipient(struct smtp_session *session, const struct smtp_recipient *recipient)
{
        bool dsn = session->can.dsn && !session->known->no_recipient_parameters;
        bool notify = dsn && recipient->notify && is_notify(recipient->notify);
        scoped(scoped_free) char *address = address_on_wire(recipient->address);
        bool typed = recipient->orcpt && dsn_original(recipient->orcpt, NULL) == 0;
        scoped(scoped_free) char *original = !recipient->orcpt ? NULL
                                             : typed           ? copy_text(recipient->orcpt)
                                                               : address_on_wire(recipient->orcpt);
        char *orcpt = dsn && original && original[0] ? orcpt_of(original) : NULL;

        engine_say_gated(&session->engine, "RCPT TO:<%s>%s%s%s", address, notify ? " NOTIFY=" : "",
                         notify ? recipient->notify : "", orcpt ? orcpt : "");
        bool parameters = notify || orcpt;
        free(orcpt);
        return parameters;
}
