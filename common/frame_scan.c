/* SPDX-License-Identifier: MIT */
/* A look at a call before it is parsed; see frame_scan.h. */
#include "common/frame_scan.h"

void frame_scan_reset(struct frame_scan *scan)
{
        *scan = (struct frame_scan){ 0 };
}

/* Of all texts two are kept, both of the outermost object: the name of a member, and the value of
 * the first "method". The rest is counted only, so that a look costs no memory. */
static void begin_text(struct frame_scan *scan)
{
        scan->in_text = true;
        scan->values++;
        scan->kept = 0;
        scan->keeping = scan->depth != 1                       ? KEEP_NOTHING
                        : scan->at_name                        ? KEEP_NAME
                        : scan->of_method && !scan->has_method ? KEEP_METHOD
                                                               : KEEP_NOTHING;
}

/* A text with an escape, or longer than there is room for, is not kept (SIZE_MAX): it is no name
 * that is known here. */
static void keep(struct frame_scan *scan, char c)
{
        char *to = scan->keeping == KEEP_NAME ? scan->name : scan->method;
        size_t size = scan->keeping == KEEP_NAME ? sizeof scan->name : sizeof scan->method;

        if (scan->keeping == KEEP_NOTHING || scan->kept == SIZE_MAX)
                return;
        if (c == '\\' || scan->kept + 1 == size) {
                scan->kept = SIZE_MAX;
                return;
        }
        to[scan->kept++] = c;
        to[scan->kept] = '\0';
}

static void end_text(struct frame_scan *scan)
{
        bool fits = scan->kept && scan->kept != SIZE_MAX;

        scan->in_text = false;
        if (scan->keeping == KEEP_NAME)
                scan->of_method = fits && strcmp(scan->name, "method") == 0;
        else if (scan->keeping == KEEP_METHOD)
                scan->has_method = fits;
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
static void open_level(struct frame_scan *scan)
{
        scan->values++;
        if (++scan->depth > scan->deepest)
                scan->deepest = scan->depth;
        scan->at_name = scan->depth == 1;
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
                open_level(scan);
                break;
        case '}':
        case ']':
                scan->depth -= scan->depth > 0;
                break;
        case ',':
                if (scan->depth == 1)
                        scan->at_name = true;
                break;
        case ':':
                if (scan->depth == 1)
                        scan->at_name = false;
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

void frame_scan_bytes(struct frame_scan *scan, const uint8_t *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                char c = (char)bytes[i];
                if (scan->in_text)
                        inside_text(scan, c);
                else
                        outside_text(scan, c);
        }
}
