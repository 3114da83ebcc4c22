/* SPDX-License-Identifier: MIT */
/*
 * A server of mail for measuring: IMAP and POP3, TLS from the first byte. Every name and password signs in,
 * to the one mailbox of COUNT messages of about SIZE bytes; its answers are Dovecot's, as far as clients that
 * fetch ask. It costs as little as a server can: a message is a header made when it is
 * sent and a body that all share, large ones are encrypted where they lie, answers go out together when
 * nothing more is there to be read, and records in writes of several. Flags are kept, for all connections;
 * nothing is ever removed. Usage: fast_source CHAIN.pem ADDRESS COUNT SIZE. The first line it prints are the
 * two ports, that of IMAP first. It ends with its standard input.
 */
#include "tests/bench/fast_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
        INPUT = 65536,
        GATHER = 4 * 16384,   /* full records of a write */
        WIRE = GATHER + 4096, /* and what TLS adds */
        UNREAD = 4 * 1048576, /* commands that a client may send ahead of reading */
        LINE = 78,
        BODY = LINE * 16384,
        HEAD = 512,
        SEEN = 1,
        DELETED = 2,
        UIDVALIDITY = 1700000000,
};

static unsigned long count;
static size_t size, head_size;
static unsigned char *flags;
static char body[BODY];
static int imap_listener = -1, pop3_listener = -1;

struct peer {
        SSL *ssl;
        BIO *wire;
        int pop3, broken, over;
        int read_only;
        char in[INPUT], out[GATHER];
        size_t have, said;
        char awaits[64]; /* the tag of a command that goes on in the next line */
};

/* ---- the wire ---- */

static void write_records(struct peer *peer, const char *bytes, size_t len)
{
        int done = 0;

        while (!peer->broken && len && (done = SSL_write(peer->ssl, bytes, (int)len)) <= 0)
                peer->broken = !server_again(peer->ssl, done);
        while (!peer->broken && (done = (int)BIO_flush(peer->wire)) <= 0) {
                struct pollfd ready = { .fd = SSL_get_fd(peer->ssl), .events = POLLOUT };
                peer->broken = !BIO_should_retry(peer->wire) || poll(&ready, 1, -1) != 1;
        }
}

static void flush(struct peer *peer)
{
        if (peer->said)
                write_records(peer, peer->out, peer->said);
        peer->said = 0;
}

static void put(struct peer *peer, const char *bytes, size_t len)
{
        while (peer->said + len >= GATHER) {
                size_t part = GATHER - peer->said;
                if (peer->said) {
                        memcpy(peer->out + peer->said, bytes, part);
                        peer->said = GATHER;
                        flush(peer);
                } else {
                        write_records(peer, bytes, part);
                }
                bytes += part;
                len -= part;
        }
        memcpy(peer->out + peer->said, bytes, len);
        peer->said += len;
}

__attribute__((format(printf, 2, 3))) static void say(struct peer *peer, const char *format, ...)
{
        char text[1024];
        va_list args;

        va_start(args, format);
        int len = vsnprintf(text, sizeof text, format, args);
        va_end(args);
        put(peer, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

/* ---- the messages ---- */

static size_t head_of(unsigned long number, char head[HEAD])
{
        return (size_t)snprintf(head, HEAD,
                                "From: sender@example.test\r\nTo: bench@example.test\r\n"
                                "Subject: number %010lu\r\nDate: Mon, 05 Jan 2026 10:00:00 +0000\r\n"
                                "Message-ID: <%010lu.%08x@example.test>\r\n\r\n",
                                number, number, (unsigned)UIDVALIDITY);
}

/* So much of a message from there on. */
static void put_message(struct peer *peer, unsigned long number, size_t from, size_t len)
{
        char head[HEAD];

        if (from < head_size && len) {
                (void)head_of(number, head);
                size_t part = head_size - from < len ? head_size - from : len;
                put(peer, head + from, part);
                from += part;
                len -= part;
        }
        while (len && !peer->broken) {
                size_t at = (from - head_size) % BODY, part = BODY - at < len ? BODY - at : len;
                put(peer, body + at, part);
                from += part;
                len -= part;
        }
}

static const char *flags_of(unsigned long number)
{
        static const char *const words[] = { "", "\\Seen", "\\Deleted", "\\Deleted \\Seen" };

        return words[flags[number] & (SEEN | DELETED)];
}

/* ---- IMAP ---- */

static char *word(char **at)
{
        char *start = *at + strspn(*at, " "), *end = start + strcspn(start, " ");

        *at = *end ? end + 1 : end;
        *end = '\0';
        return start;
}

static int is(const char *text, const char *other)
{
        return strcasecmp(text, other) == 0;
}

/* The next range of a set; 0 at its end. Numbers and UIDs are the same. */
static int next_range(const char **set, unsigned long *first, unsigned long *last)
{
        char *end;
        unsigned long numbers[2];

        if (!**set)
                return 0;
        for (int i = 0; i < 2; i++) {
                numbers[i] = **set == '*' ? count : strtoul(*set, &end, 10);
                *set = **set == '*' ? *set + 1 : end;
                if (i == 0 && **set == ':')
                        ++*set;
                else if (i == 0)
                        numbers[++i] = numbers[0];
        }
        *set += **set ? 1 : 0;
        *first = numbers[0] < numbers[1] ? numbers[0] : numbers[1];
        *last = numbers[0] < numbers[1] ? numbers[1] : numbers[0];
        *first += *first == 0;
        *last = *last < count ? *last : count;
        return 1;
}

enum part { NO_PART, WHOLE, HEADER, FIELDS, TEXT };

struct wanted {
        int uid, flags, size, date, marks;
        enum part part;
        char label[256];
        size_t from, most;
};

/* "BODY.PEEK[HEADER.FIELDS (DATE)]<0.100>"; what is left of the list. */
static char *want_part(struct wanted *wanted, char *item)
{
        char *open = strchr(item, '['), *close = open ? strchr(open, ']') : NULL;
        unsigned long from = 0, most = 0;
        int taken = 0;

        if (!close)
                return item + strlen(item);
        const char *section = open + 1;
        wanted->marks = strncasecmp(item, "BODY.PEEK", 9) != 0;
        wanted->part = *section == ']'                                  ? WHOLE
                       : strncasecmp(section, "HEADER.FIELDS", 13) == 0 ? FIELDS
                       : strncasecmp(section, "HEADER", 6) == 0         ? HEADER
                                                                        : TEXT;
        (void)snprintf(wanted->label, sizeof wanted->label - 24, "BODY%.*s", (int)(close + 1 - open), open);
        if (sscanf(close + 1, "<%lu.%lu>%n", &from, &most, &taken) == 2 && taken) {
                wanted->from = from;
                wanted->most = most;
                (void)snprintf(wanted->label + strlen(wanted->label), 24, "<%lu>", from);
        }
        return close + 1 + taken;
}

static void want_old_part(struct wanted *wanted, const char *name)
{
        wanted->part = is(name, "RFC822") ? WHOLE : is(name, "RFC822.HEADER") ? HEADER : TEXT;
        wanted->marks = wanted->part != HEADER;
        (void)snprintf(wanted->label, sizeof wanted->label, "%s", name);
}

static void want(struct wanted *wanted, char *items)
{
        while (*(items += strspn(items, "() "))) {
                if (strncasecmp(items, "BODY", 4) == 0 && items[strcspn(items, "[ ")] == '[') {
                        items = want_part(wanted, items);
                        continue;
                }
                char *end = items + strcspn(items, "() "), after = *end;
                *end = '\0';
                int all = is(items, "ALL") || is(items, "FAST") || is(items, "FULL");
                wanted->uid |= is(items, "UID");
                wanted->flags |= all || is(items, "FLAGS");
                wanted->size |= all || is(items, "RFC822.SIZE");
                wanted->date |= all || is(items, "INTERNALDATE");
                if (is(items, "RFC822") || is(items, "RFC822.HEADER") || is(items, "RFC822.TEXT"))
                        want_old_part(wanted, items);
                *end = after;
                items = end;
        }
}

/* The lines of the header that the label names, and the empty one. */
static size_t fields_of(unsigned long number, const char *label, char out[HEAD])
{
        char head[HEAD];
        size_t len = 0;

        (void)head_of(number, head);
        for (char *line = head, *end; (end = strstr(line, "\r\n")) != NULL && end > line; line = end + 2) {
                char name[HEAD];
                (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(line, ":"), line);
                const char *found = strcasestr(label, name);
                if (found && strchr(" ()", found[strlen(name)]) && strchr(" (", found[-1]))
                        len += (size_t)snprintf(out + len, HEAD - len, "%.*s", (int)(end + 2 - line), line);
        }
        return len + (size_t)snprintf(out + len, HEAD - len, "\r\n");
}

static void put_part(struct peer *peer, const struct wanted *wanted, unsigned long number)
{
        char fields[HEAD];
        size_t start = wanted->part == TEXT ? head_size : 0, end = wanted->part == HEADER ? head_size : size;

        if (wanted->part == FIELDS)
                end = fields_of(number, wanted->label, fields);
        start = wanted->from < end - start ? start + wanted->from : end;
        size_t len = wanted->most && wanted->most < end - start ? wanted->most : end - start;
        say(peer, " %s {%zu}\r\n", wanted->label, len);
        if (wanted->part == FIELDS)
                put(peer, fields + start, len);
        else
                put_message(peer, number, start, len);
}

static void fetch_one(struct peer *peer, const struct wanted *wanted, unsigned long number)
{
        int marks = wanted->marks && !peer->read_only && !(flags[number] & SEEN);
        char first[2] = "";

        say(peer, "* %lu FETCH (", number);
        if (wanted->uid) {
                say(peer, "UID %lu", number);
                *first = ' ';
        }
        if (marks)
                flags[number] |= SEEN;
        if (wanted->flags || marks) {
                say(peer, "%sFLAGS (%s)", first, flags_of(number));
                *first = ' ';
        }
        if (wanted->size) {
                say(peer, "%sRFC822.SIZE %zu", first, size);
                *first = ' ';
        }
        if (wanted->date)
                say(peer, "%sINTERNALDATE \"05-Jan-2026 10:00:00 +0000\"", first);
        if (wanted->part)
                put_part(peer, wanted, number);
        put(peer, ")\r\n", 3);
}

static void fetch(struct peer *peer, const char *tag, int uid, char *rest)
{
        const char *set = word(&rest);
        struct wanted wanted = { .uid = uid };
        unsigned long first, last;

        want(&wanted, rest);
        while (next_range(&set, &first, &last))
                for (unsigned long number = first; number <= last && !peer->broken; number++)
                        fetch_one(peer, &wanted, number);
        say(peer, "%s OK Fetch completed.\r\n", tag);
}

static unsigned flags_in(const char *text)
{
        return (strcasestr(text, "\\Seen") ? SEEN : 0u) | (strcasestr(text, "\\Deleted") ? DELETED : 0u);
}

static void store(struct peer *peer, const char *tag, int uid, char *rest)
{
        const char *set = word(&rest), *how = word(&rest);
        unsigned named = flags_in(rest);
        struct wanted wanted = { .uid = uid, .flags = 1 };
        unsigned long first, last;

        while (next_range(&set, &first, &last))
                for (unsigned long number = first; number <= last; number++) {
                        unsigned now = flags[number];
                        flags[number] = (unsigned char)(*how == '+'   ? now | named
                                                        : *how == '-' ? now & ~named
                                                                      : named);
                        if (!strcasestr(how, "SILENT"))
                                fetch_one(peer, &wanted, number);
                }
        say(peer, "%s OK Store completed.\r\n", tag);
}

/* Flags and sets; every other key is taken for ALL. */
static void search(struct peer *peer, const char *tag, char *rest)
{
        unsigned with = 0, without = 0;
        int not = 0;
        const char *set = "1:*";
        unsigned long first, last;

        for (char *key; *(key = word(&rest)); not= is(key, "NOT")) {
                unsigned flag = is(key, "SEEN") || is(key, "UNSEEN")         ? SEEN
                                : is(key, "DELETED") || is(key, "UNDELETED") ? DELETED
                                                                             : 0;
                if (strncasecmp(key, "UN", 2) == 0 ? !not : not)
                        without |= flag;
                else
                        with |= flag;
                if (strspn(key, "0123456789:,*") == strlen(key))
                        set = key;
        }
        say(peer, "* SEARCH");
        while (next_range(&set, &first, &last))
                for (unsigned long number = first; number <= last; number++)
                        if ((flags[number] & with) == with && !(flags[number] & without))
                                say(peer, " %lu", number);
        say(peer, "\r\n%s OK Search completed.\r\n", tag);
}

static void open_box(struct peer *peer, const char *tag, int read_only)
{
        unsigned long unseen = 1;

        while (unseen <= count && flags[unseen] & SEEN)
                unseen++;
        peer->read_only = read_only;
        say(peer,
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* OK [PERMANENTFLAGS (%s)] "
            "Flags.\r\n",
            read_only ? "" : "\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*");
        say(peer, "* %lu EXISTS\r\n* 0 RECENT\r\n", count);
        if (unseen <= count)
                say(peer, "* OK [UNSEEN %lu] First unseen.\r\n", unseen);
        say(peer, "* OK [UIDVALIDITY %u] UIDs valid\r\n* OK [UIDNEXT %lu] Predicted next UID\r\n",
            (unsigned)UIDVALIDITY, count + 1);
        say(peer, "%s OK [READ-%s] Select completed.\r\n", tag, read_only ? "ONLY" : "WRITE");
}

static const char capabilities[] = "IMAP4rev1 SASL-IR LITERAL+ ID ENABLE IDLE NAMESPACE UIDPLUS UNSELECT "
                                   "CHILDREN AUTH=PLAIN";

static void signed_in(struct peer *peer, const char *tag)
{
        if (peer->pop3)
                say(peer, "+OK Logged in.\r\n");
        else
                say(peer, "%s OK [CAPABILITY %s] Logged in\r\n", tag, capabilities);
}

/* Whether a command goes on in the next line: behind "{12}" at once, behind "{12+}" without a word of ours.
 */
static int goes_on(struct peer *peer, const char *tag, const char *rest)
{
        size_t len = strlen(rest);

        if (!len || rest[len - 1] != '}')
                return 0;
        if (rest[len - 2] != '+')
                say(peer, "+ OK\r\n");
        (void)snprintf(peer->awaits, sizeof peer->awaits, "%s", tag);
        return 1;
}

/* What has an answer in one line, and what is said ahead of it. */
static const struct {
        const char *name, *ahead, *says;
} simple[] = {
        { "NOOP", "", "NOOP completed." },
        { "CHECK", "", "Check completed." },
        { "CLOSE", "", "Close completed." },
        { "UNSELECT", "", "Unselect completed." },
        { "EXPUNGE", "", "Expunge completed." },
        { "ENABLE", "* ENABLED\r\n", "Enabled." },
        { "ID", "* ID (\"name\" \"fast_source\")\r\n", "ID completed." },
        { "NAMESPACE", "* NAMESPACE ((\"\" \".\")) NIL NIL\r\n", "Namespace completed." },
        { "LIST", "* LIST (\\HasNoChildren) \".\" INBOX\r\n", "List completed." },
        { "LSUB", "* LSUB (\\HasNoChildren) \".\" INBOX\r\n", "Lsub completed." },
};

static void answer(struct peer *peer, const char *tag, const char *verb)
{
        for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
                if (is(verb, simple[i].name)) {
                        say(peer, "%s%s OK %s\r\n", simple[i].ahead, tag, simple[i].says);
                        return;
                }
        say(peer, "%s BAD Unknown command.\r\n", tag);
}

/* A line behind one that went on: the rest of a sign-in, or DONE. */
static void gone_on(struct peer *peer, char *line)
{
        char tag[sizeof peer->awaits];

        memcpy(tag, peer->awaits, sizeof tag);
        *peer->awaits = '\0';
        if (peer->pop3 || !goes_on(peer, tag, line))
                is(line, "DONE") ? say(peer, "%s OK Idle completed.\r\n", tag) : signed_in(peer, tag);
}

static void on_mailbox(struct peer *peer, const char *tag, const char *verb, char *rest)
{
        int uid = is(verb, "UID");

        if (uid)
                verb = word(&rest);
        if (is(verb, "FETCH"))
                fetch(peer, tag, uid, rest);
        else if (is(verb, "STORE"))
                store(peer, tag, uid, rest);
        else if (is(verb, "SEARCH"))
                search(peer, tag, rest);
        else
                answer(peer, tag, verb);
}

static void imap_command(struct peer *peer, char *line)
{
        const char *tag = word(&line), *verb = word(&line);

        if (is(verb, "LOGIN")) {
                if (!goes_on(peer, tag, line))
                        signed_in(peer, tag);
        } else if (is(verb, "AUTHENTICATE")) {
                (void)word(&line);
                if (*word(&line))
                        signed_in(peer, tag);
                else
                        (void)(say(peer, "+ \r\n"), snprintf(peer->awaits, sizeof peer->awaits, "%s", tag));
        } else if (is(verb, "IDLE")) {
                say(peer, "+ idling\r\n");
                (void)snprintf(peer->awaits, sizeof peer->awaits, "%s", tag);
        } else if (is(verb, "CAPABILITY")) {
                say(peer, "* CAPABILITY %s\r\n%s OK Capability completed.\r\n", capabilities, tag);
        } else if (is(verb, "SELECT") || is(verb, "EXAMINE")) {
                open_box(peer, tag, is(verb, "EXAMINE"));
        } else if (is(verb, "STATUS")) {
                say(peer, "* STATUS INBOX (MESSAGES %lu RECENT 0 UIDNEXT %lu UIDVALIDITY %u UNSEEN 0)\r\n",
                    count, count + 1, (unsigned)UIDVALIDITY);
                say(peer, "%s OK Status completed.\r\n", tag);
        } else if (is(verb, "LOGOUT")) {
                say(peer, "* BYE Logging out\r\n%s OK Logout completed.\r\n", tag);
                peer->over = 1;
        } else {
                on_mailbox(peer, tag, verb, line);
        }
}

/* ---- POP3 ---- */

static void pop3_list(struct peer *peer, int ids, const char *which)
{
        unsigned long first = *which ? strtoul(which, NULL, 10) : 1, last = *which ? first : count;

        if (first < 1 || last > count) {
                say(peer, "-ERR There's no message %s.\r\n", which);
                return;
        }
        if (!*which)
                say(peer, "+OK %lu messages:\r\n", count);
        for (unsigned long number = first; number <= last; number++) {
                say(peer, "%s%lu ", *which ? "+OK " : "", number);
                if (ids)
                        say(peer, "%08lx%08x\r\n", number, (unsigned)UIDVALIDITY);
                else
                        say(peer, "%zu\r\n", size);
        }
        if (!*which)
                say(peer, ".\r\n");
}

/* No line of ours begins with a dot. */
static void pop3_retrieve(struct peer *peer, const char *which, const char *lines)
{
        unsigned long number = strtoul(which, NULL, 10);
        size_t len = *lines ? head_size + strtoul(lines, NULL, 10) * LINE : size;

        if (number < 1 || number > count) {
                say(peer, "-ERR There's no message %s.\r\n", which);
                return;
        }
        say(peer, "+OK %zu octets\r\n", size);
        put_message(peer, number, 0, len < size ? len : size);
        say(peer, ".\r\n");
}

static void pop3_command(struct peer *peer, char *line)
{
        const char *verb = word(&line), *which = word(&line);

        if (is(verb, "CAPA")) {
                say(peer,
                    "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\nUSER\r\n"
                    "SASL PLAIN\r\n.\r\n");
        } else if (is(verb, "PASS")) {
                signed_in(peer, "");
        } else if (is(verb, "AUTH")) {
                if (*word(&line))
                        signed_in(peer, "");
                else
                        (void)(say(peer, "+ \r\n"), snprintf(peer->awaits, sizeof peer->awaits, "+"));
        } else if (is(verb, "STAT")) {
                say(peer, "+OK %lu %zu\r\n", count, count * size);
        } else if (is(verb, "LIST") || is(verb, "UIDL")) {
                pop3_list(peer, is(verb, "UIDL"), which);
        } else if (is(verb, "RETR")) {
                pop3_retrieve(peer, which, "");
        } else if (is(verb, "TOP")) {
                pop3_retrieve(peer, which, word(&line));
        } else if (is(verb, "QUIT")) {
                say(peer, "+OK Logging out.\r\n");
                peer->over = 1;
        } else if (is(verb, "USER") || is(verb, "DELE") || is(verb, "NOOP") || is(verb, "RSET")) {
                say(peer, "+OK\r\n");
        } else {
                say(peer, "-ERR Unknown command.\r\n");
        }
}

/* ---- a connection ---- */

static void take_lines(struct peer *peer)
{
        size_t from = 0;

        for (char *end; !peer->over && !peer->broken &&
                        (end = memchr(peer->in + from, '\n', peer->have - from)) != NULL;) {
                char *line = peer->in + from;
                from = (size_t)(end + 1 - peer->in);
                end[end > line && end[-1] == '\r' ? -1 : 0] = '\0';
                if (*peer->awaits)
                        gone_on(peer, line);
                else
                        (peer->pop3 ? pop3_command : imap_command)(peer, line);
        }
        memmove(peer->in, peer->in + from, peer->have - from);
        peer->have -= from;
}

static void serve_signed(struct peer *peer)
{
        if (peer->pop3)
                say(peer, "+OK fast_source ready.\r\n");
        else
                say(peer, "* OK [CAPABILITY %s] fast_source ready.\r\n", capabilities);
        flush(peer);
        while (!peer->over && !peer->broken && peer->have < INPUT) {
                int got = SSL_read(peer->ssl, peer->in + peer->have, (int)(INPUT - peer->have));
                if (got > 0) {
                        peer->have += (size_t)got;
                        take_lines(peer);
                        continue;
                }
                int why = SSL_get_error(peer->ssl, got);
                flush(peer); /* together, when nothing more is there to be read */
                if (!server_wait(peer->ssl, why))
                        break;
        }
        flush(peer);
}

static void serve(SSL *ssl, int listener)
{
        struct peer *peer = calloc(1, sizeof *peer);

        if (!peer)
                exit(1);
        peer->ssl = ssl;
        peer->pop3 = listener == pop3_listener;
        SSL_set_read_ahead(ssl, 1);
        if (server_greet(ssl)) {
                BIO *gather = BIO_new(BIO_f_buffer());
                if (!gather || BIO_set_write_buffer_size(gather, WIRE) != 1)
                        exit(1);
                peer->wire = BIO_push(gather, SSL_get_wbio(ssl));
                BIO_up_ref(SSL_get_rbio(ssl));
                SSL_set0_wbio(ssl, peer->wire);
                serve_signed(peer);
                (void)SSL_shutdown(ssl);
                (void)BIO_flush(peer->wire);
        }
        (void)close(SSL_get_fd(ssl));
        SSL_free(ssl);
        free(peer);
}

/* ---- the whole ---- */

/* A message is as many whole lines as fit. */
static int make_messages(const char *how_many, const char *how_large)
{
        char head[HEAD];

        count = strtoul(how_many, NULL, 10);
        size = strtoul(how_large, NULL, 10);
        head_size = head_of(1, head);
        size = head_size + (size > head_size + LINE ? (size - head_size) / LINE : 1) * LINE;
        flags = calloc(count + 1, 1);
        for (size_t i = 0; i < BODY; i++)
                body[i] = i % LINE == LINE - 2 ? '\r' : i % LINE == LINE - 1 ? '\n' : 'y';
        return count && flags ? 0 : -1;
}

int main(int argc, char **argv)
{
        unsigned imap = 0, pop3 = 0;
        char input[64];

        if (argc != 5 || make_messages(argv[3], argv[4]) < 0 || server_begin(argv[1]) < 0 ||
            !(imap = server_listen(&imap_listener, argv[2], UNREAD)) ||
            !(pop3 = server_listen(&pop3_listener, argv[2], UNREAD))) {
                fprintf(stderr,
                        "fast_source: cannot begin (usage: fast_source CHAIN.pem ADDRESS COUNT SIZE)\n");
                return 1;
        }
        printf("%u %u\n", imap, pop3);
        (void)fflush(stdout);
        while (read(STDIN_FILENO, input, sizeof input) > 0)
                ;
        return 0;
}
