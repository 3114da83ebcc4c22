/* SPDX-License-Identifier: MIT */
/* The reply parser; see reply.h. Each line is looked at once, whatever a server sends (S23). */
#include "daemon/smtp/reply.h"

#include "common/limits.h"
#include "common/printable.h"

#include <stdio.h>

void reply_init(struct reply *reply)
{
        *reply = (struct reply){ .text = BUF_WITH_MAX(LIMIT_REPLY), .complete = true };
}

void reply_done(struct reply *reply)
{
        buf_free(&reply->text);
}

void reply_reset(struct reply *reply)
{
        buf_clear(&reply->text);
        reply->code = 0;
        reply->lines = 0;
        reply->enhanced[0] = '\0';
        reply->complete = true;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* The three digits in front of a line; 0 when they are no reply code. */
static unsigned code_of(const char *line, size_t len)
{
        if (len < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2]))
                return 0;
        if (len > 3 && line[3] != ' ' && line[3] != '-' && line[3] != '\t')
                return 0;
        return (unsigned)(line[0] - '0') * 100 + (unsigned)(line[1] - '0') * 10 + (unsigned)(line[2] - '0');
}

/* One to three digits; how many, 0 when there are none or more. */
static size_t number_len(const char *text, size_t len)
{
        size_t n = 0;

        while (n < len && is_digit(text[n]))
                n++;
        return n <= 3 ? n : 0;
}

/* Length of the enhanced code (class.subject.detail, RFC 3463) in front of a text; 0 when none. */
static size_t enhanced_len(unsigned code, const char *text, size_t len)
{
        if (len < 5 || (unsigned)(text[0] - '0') != code / 100 || text[0] == '3' || text[1] != '.')
                return 0;
        size_t subject = number_len(text + 2, len - 2);
        size_t at = 2 + subject;
        if (!subject || at >= len || text[at] != '.')
                return 0;
        size_t detail = number_len(text + at + 1, len - at - 1);
        at += 1 + detail;
        if (!detail || (at < len && text[at] != ' '))
                return 0;
        return at;
}

static void take_enhanced(struct reply *reply, const char **text, size_t *len, bool decides)
{
        size_t found = enhanced_len(reply->code, *text, *len);

        if (!found)
                return;
        if (decides) {
                memcpy(reply->enhanced, *text, found); /* at most "5.999.999" */
                reply->enhanced[found] = '\0';
        } else if (strlen(reply->enhanced) != found || memcmp(reply->enhanced, *text, found) != 0) {
                return; /* another one than on the first line: words like any */
        }
        found += found < *len; /* its blank */
        *text += found;
        *len -= found;
}

static enum reply_result bad(struct cause *cause, const char *what, const char *line, size_t len)
{
        char shown[80];

        printable_copy(shown, sizeof shown, line, len);
        cause_set(cause, CAUSE_PROTOCOL, "%s: \"%s\"", what, shown);
        return REPLY_BAD;
}

/* Where lines of one reply have different codes, the worst is meant: "220-" and then "521 you are blocked".
 * True when this line's code counts. */
static bool take_code(struct reply *reply, unsigned code)
{
        if (reply->lines && code <= reply->code)
                return false;
        reply->code = code;
        reply->enhanced[0] = '\0';
        return true;
}

/* Lines without a code within a reply are text of it, as in banners; an empty one before it is nothing. */
enum reply_result reply_feed(struct reply *reply, const char *line, size_t len, struct cause *cause)
{
        unsigned code = code_of(line, len);

        if (reply->complete)
                reply_reset(reply);
        if (!code && !reply->lines)
                return len ? bad(cause, "the server sent what is not an SMTP reply", line, len) : REPLY_MORE;
        bool decides = code && take_code(reply, code);
        reply->complete = code && (len == 3 || line[3] != '-');
        const char *text = !code ? line : len > 3 ? line + 4 : line + 3;
        size_t text_len = len - (size_t)(text - line);
        if (code)
                take_enhanced(reply, &text, &text_len, decides);
        if (reply->lines >= LIMIT_REPLY_LINES || (reply->lines && buf_append(&reply->text, "\n", 1)) ||
            buf_append(&reply->text, text, text_len)) {
                cause_set(cause, CAUSE_PROTOCOL, "the server's reply has no end");
                return REPLY_BAD;
        }
        reply->lines++;
        return reply->complete ? REPLY_DONE : REPLY_MORE;
}

void reply_words(const struct reply *reply, char *to, size_t size)
{
        char line[1024];
        size_t text_len = reply->text.len < sizeof line ? reply->text.len : sizeof line;
        int front = snprintf(line, sizeof line, "%03u%s%s", reply->code, reply->enhanced[0] ? " " : "",
                             reply->enhanced);
        size_t len = front > 0 ? (size_t)front : 0;

        if (text_len) {
                line[len++] = ' ';
                if (text_len > sizeof line - len)
                        text_len = sizeof line - len;
                memcpy(line + len, buf_bytes(&reply->text), text_len);
                for (size_t i = len; i < len + text_len; i++)
                        if (line[i] == '\n' || line[i] == '\t')
                                line[i] = ' ';
                len += text_len;
        }
        printable_copy(to, size, line, len);
}

/* What other services say first, and what that means for the account. */
static const struct {
        const char *start;
        enum cause_code code;
        const char *sentence, *remedy;
} foreigners[] = {
        { "\x16\x03", CAUSE_TLS_MISMATCH, "the server speaks TLS from the first byte on this port",
          "this port wants useSsl: emailsecctl account secure NAME ssl" },
        { "\x15\x03", CAUSE_TLS_MISMATCH, "the server speaks TLS from the first byte on this port",
          "this port wants useSsl: emailsecctl account secure NAME ssl" },
        { "* ", CAUSE_PROTOCOL, "this is an IMAP server, not one for outgoing mail",
          "check hostname and port: outgoing mail goes to 465 (useSsl) or 587 (useStartTls)" },
        { "+OK", CAUSE_PROTOCOL, "this is a POP3 server, not one for outgoing mail",
          "check hostname and port: outgoing mail goes to 465 (useSsl) or 587 (useStartTls)" },
        { "SSH-", CAUSE_PROTOCOL, "this is an SSH server, not one for mail",
          "correct the properties hostname and port" },
        { "HTTP/", CAUSE_PROTOCOL, "this is a web server, not one for mail",
          "correct the properties hostname and port" },
};

int reply_foreign(const uint8_t *bytes, size_t len, struct cause *cause)
{
        for (size_t i = 0; i < count_of(foreigners); i++) {
                size_t start = strlen(foreigners[i].start);
                if (len < start || memcmp(bytes, foreigners[i].start, start) != 0)
                        continue;
                cause_set(cause, foreigners[i].code, "%s", foreigners[i].sentence);
                cause_remedy(cause, "%s", foreigners[i].remedy);
                return -1;
        }
        return 0;
}
