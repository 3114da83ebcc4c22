/* SPDX-License-Identifier: MIT */
/* A look at a call before it is parsed; see frame_scan.h. */
#include "common/frame_scan.h"

void frame_scan_reset(struct frame_scan *scan)
{
        *scan = (struct frame_scan){ 0 };
}

/* What the text that begins is kept as. */
static enum frame_keeps kept_as(const struct frame_scan *scan)
{
        if (scan->depth == 1)
                return scan->at_name                          ? KEEP_NAME
                       : scan->of_method && !scan->has_method ? KEEP_METHOD
                                                              : KEEP_NOTHING;
        if (scan->depth != 2 || !scan->members)
                return KEEP_NOTHING;
        return scan->at_member                            ? KEEP_MEMBER
               : scan->member.name[0] && !scan->found.len ? KEEP_LONG
                                                          : KEEP_NOTHING;
}

/* Of all texts few are kept, each once: names of the outermost object and of its parameters, and the value of
 * the first "method". The rest is counted only, so that a look costs no memory. */
static void begin_text(struct frame_scan *scan)
{
        scan->in_text = true;
        scan->values++;
        scan->kept = 0;
        scan->keeping = kept_as(scan);
        if (scan->keeping == KEEP_LONG)
                scan->member.from = scan->at + 1;
}

static char *place_of(struct frame_scan *scan, size_t *size)
{
        *size = scan->keeping == KEEP_NAME     ? sizeof scan->name
                : scan->keeping == KEEP_MEMBER ? sizeof scan->member.name
                                               : sizeof scan->method;
        return scan->keeping == KEEP_NAME     ? scan->name
               : scan->keeping == KEEP_MEMBER ? scan->member.name
                                              : scan->method;
}

static bool keeps_bytes(const struct frame_scan *scan)
{
        return scan->keeping != KEEP_NOTHING && scan->keeping != KEEP_LONG && scan->kept != SIZE_MAX;
}

/* A text with an escape, or longer than there is room for, is not kept (SIZE_MAX): it is no name
 * that is known here. */
static void keep(struct frame_scan *scan, char c)
{
        size_t size;
        char *to = place_of(scan, &size);

        if (c == '\\' || (keeps_bytes(scan) && scan->kept + 1 == size))
                scan->kept = SIZE_MAX;
        if (!keeps_bytes(scan))
                return;
        to[scan->kept++] = c;
        to[scan->kept] = '\0';
}

static void end_long(struct frame_scan *scan)
{
        scan->member.len = scan->at - scan->member.from;
        if (scan->kept != SIZE_MAX && scan->member.len >= FRAME_LONG)
                scan->found = scan->member;
}

static void end_text(struct frame_scan *scan)
{
        bool fits = scan->kept && scan->kept != SIZE_MAX;

        scan->in_text = false;
        if (scan->keeping == KEEP_NAME) {
                scan->of_method = fits && strcmp(scan->name, "method") == 0;
                scan->of_parameters = fits && strcmp(scan->name, "parameters") == 0;
        } else if (scan->keeping == KEEP_METHOD) {
                scan->has_method = fits;
        } else if (scan->keeping == KEEP_MEMBER && !fits) {
                scan->member.name[0] = '\0';
        } else if (scan->keeping == KEEP_LONG) {
                end_long(scan);
        }
        scan->keeping = KEEP_NOTHING;
}

static void inside_text(struct frame_scan *scan, char c)
{
        if (scan->escaped) {
                scan->escaped = false;
        } else if (c == '"') {
                end_text(scan);
        } else {
                scan->escaped = c == '\\';
                keep(scan, c);
        }
}

/* Lists count as objects do: the depth is how far a parser would recurse. */
static void open_level(struct frame_scan *scan, bool object)
{
        scan->values++;
        if (++scan->depth > scan->deepest)
                scan->deepest = scan->depth;
        scan->at_name = scan->depth == 1;
        if (scan->depth == 2)
                scan->members = scan->at_member = object && scan->of_parameters;
}

/* No parser: what is no JSON is found by the one that comes next. A number or a literal is one
 * value from its first byte to the next delimiter. */
static void outside_text(struct frame_scan *scan, char c)
{
        bool word = false;

        switch (c) {
        case '"':
                begin_text(scan);
                break;
        case '{':
        case '[':
                open_level(scan, c == '{');
                break;
        case '}':
        case ']':
                scan->depth -= scan->depth > 0;
                break;
        case ',':
                scan->at_name = scan->at_name || scan->depth == 1;
                scan->at_member = scan->at_member || scan->depth == 2;
                break;
        case ':':
                scan->at_name = scan->at_name && scan->depth != 1;
                scan->at_member = scan->at_member && scan->depth != 2;
                break;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
                break;
        default:
                word = true;
                scan->values += !scan->in_word;
        }
        scan->in_word = word;
}

/* How many bytes of a text are neither its end nor an escape. Not far at once: where every other byte is an
 * escape the search for the end must not read it all each time. */
static size_t plain_run(const uint8_t *bytes, size_t len)
{
        size_t run = len < 256 ? len : 256;
        const uint8_t *quote = memchr(bytes, '"', run);

        run = quote ? (size_t)(quote - bytes) : run;
        const uint8_t *escape = memchr(bytes, '\\', run);
        return escape ? (size_t)(escape - bytes) : run;
}

void frame_scan_bytes(struct frame_scan *scan, const uint8_t *bytes, size_t len)
{
        for (size_t i = 0; i < len;) {
                size_t run = scan->in_text && !scan->escaped && !keeps_bytes(scan)
                                     ? plain_run(bytes + i, len - i)
                                     : 0;
                if (run == 0) {
                        if (scan->in_text)
                                inside_text(scan, (char)bytes[i]);
                        else
                                outside_text(scan, (char)bytes[i]);
                        run = 1;
                }
                scan->at += run;
                i += run;
        }
}
