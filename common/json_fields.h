/* SPDX-License-Identifier: MIT */
/*
 * Reading a JSON object into a struct by a table: types checked, unknown fields refused, every bad field told
 * at once. Texts are borrowed from the object, which must outlive the struct.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

#include <jansson.h>

enum json_kind {
        JSON_FIELD_TEXT,    /* const char * */
        JSON_FIELD_BOOL,    /* bool */
        JSON_FIELD_INT,     /* int64_t */
        JSON_FIELD_OBJECT,  /* json_t *, borrowed */
        JSON_FIELD_ARRAY,   /* json_t *, borrowed */
        JSON_FIELD_OBJECTS, /* json_t * array whose items are all objects */
        JSON_FIELD_TEXTS,   /* json_t * array whose items are all strings */
};
enum {
        FIELD_REQUIRED = 1,
        FIELD_SECRET = 2, /* its value never goes into a cause */
        FIELD_CLEAN = 4,  /* text: no control bytes (text_is_clean) */
};
struct json_field {
        const char *name;
        enum json_kind kind;
        size_t offset; /* into the struct; absent or null leaves the struct's value alone */
        unsigned flags;
        int64_t min, max; /* INT; both 0: any. TEXT: max = most bytes, 0 = any up to LIMIT_FRAME */
        size_t present;   /* offset of a bool set when the field was there; 0 = none (so never field 0) */
};
/* 0, or -1 with a problem for every bad, missing and unknown field in `problems`. `object` NULL = {}. */
int json_read_fields(const json_t *object, const struct json_field *fields, size_t count, void *out,
                     struct causes *problems) must_use;

/* What objects order their members by is drawn here, by one call; left to itself, jansson opens a device for
 * it. Before the first object. */
void json_seed(void);

/* {code, text, remedy, retries, property} of a cause; NULL or CAUSE_NONE gives null. */
json_t *cause_json(const struct cause *cause) must_use;
/* [{property, code, text, remedy}] */
json_t *problems_json(const struct causes *problems) must_use;
/* The reverse of cause_json, as far as the object has it. */
void cause_from_json(const json_t *object, struct cause *out);
/* Sets a text (invalid UTF-8 escaped first), or null for NULL. Never fails. */
void json_put_text(json_t *object, const char *name, const char *text);
/* RFC 3339, or null for 0. */
void json_put_time(json_t *object, const char *name, int64_t time);
/* JSON text to be shown: as json_dumps(), with characters that move, hide or reorder what a person reads as
 * \uXXXX. NULL when it cannot be written; the caller frees. */
char *json_shown(const json_t *value, size_t flags) must_use;
/* JSON text written to the end of a buf piece by piece. Once the buf's maximum would be passed it has failed,
 * and nothing more is written. */
struct json_writer {
        struct buf *to;
        bool failed;
};
void json_write(struct json_writer *writer, const char *text);    /* as it stands: braces, names, commas */
void json_write_value(struct json_writer *writer, json_t *value); /* ownership taken */
/* The members of an object or array (ownership taken), without the braces; of text, what stands between its
 * quotes. */
void json_write_members(struct json_writer *writer, json_t *value);
void json_write_within(struct json_writer *writer, const char *text);

/* Any value, ownership taken; ends the process on out of memory. */
void json_put(json_t *object, const char *name, json_t *value);
/* Standard and strict base64 (RFC 4648); decode returns -1 for anything else. The caller frees (wipe if
 * secret). */
char *base64_encode(const void *bytes, size_t len) must_use;
int base64_decode(const char *text, size_t len, uint8_t **out, size_t *out_len) must_use;
