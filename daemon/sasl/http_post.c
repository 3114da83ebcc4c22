/* SPDX-License-Identifier: MIT */
/*
 * A request and the parts of its answer, taken as they come; see http_post.h.
 *
 * HTTP/1.1 (RFC 9112) as far as a token endpoint needs it: one request a connection, no redirect is followed
 * (a token must not go where the configuration does not point), no coding but chunked, and bounds on lines,
 * header and body. The form holds secrets: it is never traced.
 */
#include "daemon/sasl/http_post.h"

#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"

#include <stdio.h>
#include <strings.h>

enum { STEP_POST = ENGINE_FIRST_STEP, STEP_GET, STEPS };

enum {
        LINE_MOST = 8 * KIB,
        LINES_MOST = 200, /* of header, interim answers and trailer together */
        BODY_MOST = 64 * KIB,
        STATUS_DIGITS = 3,
        HTTPS_PORT = 443,
};

enum http_part {
        PART_STATUS,
        PART_HEADER,
        PART_SIZED,
        PART_CHUNK_SIZE,
        PART_CHUNK,
        PART_CHUNK_END,
        PART_TRAILER,
        PART_TO_END
};

struct http_post {
        struct engine engine;
        struct http_place place;
        char *form;       /* NULL: it is a GET */
        const char *whom; /* what answers, in words */
        enum http_part part;
        unsigned lines;
        unsigned status, retry_after;
        time_t date;
        bool has_length, chunked, other_coding;
        size_t left;    /* of the body, or of the chunk */
        char *location; /* where a redirect points */
        struct buf body;
};

static struct http_post *post_of(struct engine *engine)
{
        return container_of(engine, struct http_post, engine);
}

/* ---- places ---- */

int http_place_of(const char *url, struct http_place *out, struct cause *cause)
{
        static const char scheme[] = "https://";
        size_t len = sizeof scheme - 1;

        if (strncasecmp(url, scheme, len) != 0)
                return cause_set(cause, CAUSE_INVALID, "%s is no https URL", url);
        const char *place = url + len, *path = place + strcspn(place, "/?");
        char *authority = copy_bytes(place, (size_t)(path - place));
        uint16_t port = 0;
        char *host = host_port_parse(authority, &port, cause);
        if (!host) {
                free(authority);
                return -1;
        }
        *out = (struct http_place){
                .host = host,
                .port = port ? port : HTTPS_PORT,
                .authority = authority,
                .path = text_of("%s%s", path[0] == '/' ? "" : "/", path),
        };
        return 0;
}

void http_place_done(struct http_place *place)
{
        free(take(place->host));
        free(take(place->authority));
        free(take(place->path));
}

/* ---- the request ---- */

static void say_head(struct engine *engine, const char *method, const char *accept)
{
        const struct http_post *post = post_of(engine);

        engine_say(engine, "%s %s HTTP/1.1", method, post->place.path);
        engine_say(engine, "Host: %s", post->place.authority);
        engine_say(engine, "User-Agent: emailsecd/" VERSION);
        engine_say(engine, "Accept: %s", accept);
}

static void say_get(struct engine *engine)
{
        say_head(engine, "GET", "text/xml, application/xml");
        engine_say(engine, "Connection: close");
        engine_say(engine, "%s", "");
}

/* `bound`: another address of the host must not get the same request, since a refresh token or a device code
 * may count once. */
static void say_post(struct engine *engine)
{
        struct http_post *post = post_of(engine);

        engine->bound = true; /* what is asked for here is given once */
        say_head(engine, "POST", "application/json");
        engine_say(engine, "Content-Type: application/x-www-form-urlencoded");
        engine_say(engine, "Content-Length: %zu", strlen(post->form));
        engine_say(engine, "Connection: close");
        engine_say(engine, "%s", "");
        if (engine->state == ENGINE_FAILED)
                return;
        if (engine->trace)
                engine->trace(engine->trace_ctx, '>', "***", 3);
        if (buf_append_text(&engine->out, post->form))
                (void)engine_fail(engine, CAUSE_INTERNAL, "the request for a token is too long");
}

static const struct engine_step steps[STEPS] = {
        [STEP_POST] = { "POST", "waiting for the answer of the token endpoint", 0, say_post, NULL },
        [STEP_GET] = { "GET", "waiting for the answer of the web server", 0, say_get, NULL },
};

static void start(struct engine *engine, const struct engine_channel *channel)
{
        engine->channel = *channel;
        if (!channel->tls)
                (void)engine_fail(engine, CAUSE_INTERNAL, "nothing is asked for outside TLS");
        else
                engine_go(engine, post_of(engine)->form ? STEP_POST : STEP_GET);
}

/* ---- the answer ---- */

static int not_http(struct http_post *post, const char *what)
{
        return engine_fail(&post->engine, CAUSE_PROTOCOL, "the %s at %s does not speak HTTP: %s", post->whom,
                           post->place.host, what);
}

static void whole(struct http_post *post)
{
        engine_go(&post->engine, STEP_ENDED);
}

/* Decimal, or hexadecimal, up to what a body may have. -1: it is no number, or too large. */
static int read_size(const char *text, int base, size_t *out)
{
        char *end;
        unsigned long value;

        if (!strchr("0123456789abcdefABCDEF", text[0]) || !text[0])
                return -1;
        value = strtoul(text, &end, base); /* ULONG_MAX when it does not fit */
        end += strspn(end, " \t");
        *out = value;
        return (*end && !(base == 16 && *end == ';')) || value > BODY_MOST ? -1 : 0;
}

static void status_heard(struct http_post *post, const char *line)
{
        const char *digits = strchr(line, ' ');

        if (strncmp(line, "HTTP/1.", 7) != 0 || !digits ||
            strspn(digits + 1, "0123456789") != STATUS_DIGITS) {
                (void)not_http(post, "its answer does not begin as one");
                return;
        }
        post->status = (unsigned)strtoul(digits + 1, NULL, 10);
        post->part = PART_HEADER;
}

static void header_heard(struct http_post *post, const char *line)
{
        size_t name = strcspn(line, ":");
        const char *value = line + name + (line[name] == ':');
        size_t number = 0;

        value += strspn(value, " \t");
        if (name == strlen("Content-Length") && strncasecmp(line, "Content-Length", name) == 0) {
                if (read_size(value, 10, &post->left))
                        (void)not_http(post, "the length it tells makes no sense");
                post->has_length = true;
        } else if (name == strlen("Transfer-Encoding") && strncasecmp(line, "Transfer-Encoding", name) == 0) {
                post->chunked = strcasecmp(value, "chunked") == 0;
                post->other_coding |= !post->chunked;
        } else if (name == strlen("Content-Encoding") && strncasecmp(line, "Content-Encoding", name) == 0) {
                post->other_coding |= strcasecmp(value, "identity") != 0;
        } else if (name == strlen("Retry-After") && strncasecmp(line, "Retry-After", name) == 0) {
                if (read_size(value, 10, &number) == 0)
                        post->retry_after = (unsigned)number;
        } else if (name == strlen("Date") && strncasecmp(line, "Date", name) == 0) {
                post->date = time_in_words(value);
        } else if (name == strlen("Location") && strncasecmp(line, "Location", name) == 0) {
                free(post->location);
                post->location = copy_text(value);
        }
}

/* RFC 9112 section 6.3: how long the body is. */
static void header_ended(struct http_post *post)
{
        if (post->status / 100 == 1) {
                post->part = PART_STATUS;
        } else if (post->status / 100 == 3) {
                (void)engine_fail(&post->engine, CAUSE_PROTOCOL,
                                  "the %s at %s redirects to %.200s; redirects are not followed", post->whom,
                                  post->place.host, post->location ? post->location : "another place");
        } else if (post->other_coding) {
                (void)not_http(post, "it codes its answer in a way that was not asked for");
        } else if (post->chunked) {
                post->part = PART_CHUNK_SIZE;
        } else if (post->status == 204 || (post->has_length && !post->left)) {
                whole(post);
        } else {
                post->part = post->has_length ? PART_SIZED : PART_TO_END;
        }
}

static void line_heard(struct http_post *post, const char *line)
{
        if (++post->lines > LINES_MOST && post->part != PART_CHUNK_SIZE && post->part != PART_CHUNK_END) {
                (void)not_http(post, "its header has no end");
                return;
        }
        switch (post->part) {
        case PART_STATUS:
                status_heard(post, line);
                break;
        case PART_HEADER:
                if (line[0])
                        header_heard(post, line);
                else
                        header_ended(post);
                break;
        case PART_CHUNK_SIZE:
                if (read_size(line, 16, &post->left))
                        (void)not_http(post, "the size of a chunk makes no sense");
                else
                        post->part = post->left ? PART_CHUNK : PART_TRAILER;
                break;
        case PART_CHUNK_END:
                post->part = PART_CHUNK_SIZE;
                if (line[0])
                        (void)not_http(post, "a chunk is longer than its size");
                break;
        case PART_TRAILER:
                if (!line[0])
                        whole(post);
                break;
        case PART_SIZED:
        case PART_CHUNK:
        case PART_TO_END:
                break;
        }
}

/* False: no more can be taken now. */
static bool take_body(struct http_post *post)
{
        struct buf *in = &post->engine.in;
        size_t len = post->part == PART_TO_END || in->len < post->left ? in->len : post->left;

        if (!len)
                return false;
        if (buf_append(&post->body, buf_bytes(in), len)) {
                (void)engine_fail(&post->engine, CAUSE_PROTOCOL,
                                  "the answer of the %s at %s is longer than %d bytes", post->whom,
                                  post->place.host, BODY_MOST);
                return false;
        }
        engine_skip(&post->engine, len);
        if (post->part == PART_TO_END)
                return true;
        post->left -= len;
        if (!post->left && post->part == PART_SIZED)
                whole(post);
        else if (!post->left)
                post->part = PART_CHUNK_END;
        return true;
}

/* False: more bytes are wanted, or it has failed. */
static bool take_some(struct http_post *post)
{
        const char *line;

        if (post->part == PART_SIZED || post->part == PART_CHUNK || post->part == PART_TO_END)
                return take_body(post);
        if (engine_next_line(&post->engine, &line) < 0)
                return false;
        line_heard(post, line);
        return true;
}

static void received(struct engine *engine, const uint8_t *bytes, size_t len)
{
        struct http_post *post = post_of(engine);

        if (engine_is_over(engine) || engine_feed(engine, bytes, len))
                return;
        while (!engine_is_over(engine) && take_some(post))
                ;
}

static void closed(struct engine *engine)
{
        struct http_post *post = post_of(engine);

        if (engine_is_over(engine))
                return;
        if (post->part == PART_TO_END)
                whole(post);
        else
                (void)engine_fail(engine, CAUSE_CLOSED,
                                  "the %s at %s closed the connection before its answer was whole",
                                  post->whom, post->place.host);
}

static void quit(struct engine *engine)
{
        engine_go(engine, STEP_ENDED);
}

static void post_free(struct engine *engine)
{
        struct http_post *post = post_of(engine);

        http_place_done(&post->place);
        free_secret(post->form);
        free(post->location);
        buf_wipe(&post->body);
        engine_done(engine);
        free(post);
}

static const struct engine_ops http_class = {
        .start = start,
        .received = received,
        .secured = start,
        .closed = closed,
        .quit = quit,
        .free = post_free,
};

struct engine *http_post_new(const struct http_place *place, const char *form)
{
        struct http_post *post = new_object(struct http_post);

        engine_init(&post->engine, &http_class, steps, LINE_MOST);
        post->place = (struct http_place){
                .host = copy_text(place->host),
                .port = place->port,
                .authority = copy_text(place->authority),
                .path = copy_text(place->path),
        };
        post->form = copy_text(form);
        post->whom = form ? "token endpoint" : "web server";
        buf_init(&post->body, BODY_MOST);
        return &post->engine;
}

struct http_answer http_post_answer(const struct engine *engine)
{
        const struct http_post *post = container_of(engine, const struct http_post, engine);

        return (struct http_answer){
                .status = post->status,
                .retry_after = post->retry_after,
                .date = post->date,
                .body = buf_bytes(&post->body),
                .len = post->body.len,
        };
}
