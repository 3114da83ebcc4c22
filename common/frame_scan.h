/* SPDX-License-Identifier: MIT */
/*
 * A look at a Varlink call before it is parsed, byte by byte as it comes: which method it names, how many
 * values it has and how deep they are nested. It costs no memory, so that what a call may cost is decided
 * before anything is spent. What is no JSON is not noticed here: the parser refuses it later. And where a
 * long parameter without escapes lies, such as a message in base64: the parser need not go through it.
 */
#pragma once

#include "common/cleanup.h"

#include <stdint.h>

enum {
        FRAME_METHOD_SIZE = 96, /* of a method's name, with its NUL: longer ones are none of ours */
        FRAME_LONG = 1024       /* bytes from which on a text is long */
};

/* The value of a member of the outer object's "parameters". */
struct frame_long {
        char name[16];
        size_t from, len; /* of the frame, between its quotes; len 0: there is none */
};

struct frame_scan {
        size_t depth, deepest; /* of objects and lists */
        size_t values;         /* objects, lists, texts (names of members among them), numbers and words */
        bool in_text, escaped, in_word;
        bool at_name;            /* the next text of the outer object is the name of a member */
        bool of_method;          /* the next text is the value of "method" */
        bool of_parameters;      /* the last member that began is "parameters"; */
        bool members, at_member; /* it is an object: the next text of it is a name */
        enum frame_keeps { KEEP_NOTHING, KEEP_NAME, KEEP_METHOD, KEEP_MEMBER, KEEP_LONG } keeping;
        size_t kept; /* bytes of the text that is kept; SIZE_MAX: it does not fit, or has escapes */
        size_t at;   /* bytes that were looked at */
        char name[12];
        struct frame_long member; /* the last name in "parameters" ("": it does not fit), and its text */
        struct frame_long found;  /* the first that is long */
        char method[FRAME_METHOD_SIZE];
        bool has_method; /* `method` is whole */
};

/* Begins a new call. */
void frame_scan_reset(struct frame_scan *scan);
void frame_scan_bytes(struct frame_scan *scan, const uint8_t *bytes, size_t len);
