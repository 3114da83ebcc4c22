/* SPDX-License-Identifier: MIT */
/* Varlink frames and the file descriptors that come along with them; see frame.h. */
#include "common/frame.h"

#include "common/json_fields.h"

#include <errno.h>
#include <sys/socket.h>

/* Bytes. */
enum { READ_AT_ONCE = 64 * KIB };

void frame_reader_init(struct frame_reader *reader, size_t max)
{
        *reader = (struct frame_reader){ .in = BUF_WITH_MAX(max) };
}

/* How the descriptor of a peer is closed; NULL: by close() here. Set by who may not wait for what a
 * peer sent. */
static void (*close_by)(int fd);

void frame_close_by(void (*close_one)(int fd))
{
        close_by = close_one;
}

void frame_reader_take_fds(struct frame_reader *reader, bool take_them)
{
        reader->no_fds = !take_them;
}

static void close_one(int *fd)
{
        if (close_by && *fd >= 0) {
                close_by(*fd);
                *fd = -1;
        }
        close_fd(fd);
}

/* Closes the first `count` and moves the others to the front. */
static void close_first(struct frame_reader *reader, size_t count)
{
        for (size_t i = 0; i < count; i++)
                close_one(&reader->fds[i]);
        reader->fd_count -= count;
        memmove(reader->fds, reader->fds + count, reader->fd_count * sizeof reader->fds[0]);
        memmove(reader->fd_ends, reader->fd_ends + count, reader->fd_count * sizeof reader->fd_ends[0]);
        reader->fd_own = 0;
}

void frame_reader_free(struct frame_reader *reader)
{
        close_first(reader, reader->fd_count);
        buf_wipe(&reader->in);
        reader->searched = 0;
        reader->whole = false;
        frame_scan_reset(&reader->scan);
}

int frame_take_fd(struct frame_reader *reader, size_t index)
{
        if (index >= reader->fd_own)
                return -1;
        int fd = reader->fds[index];
        reader->fds[index] = -1;
        return fd;
}

void frame_drop_fds(struct frame_reader *reader)
{
        close_first(reader, reader->fd_own);
}

/* A frame of that many bytes is taken: what came with it is its own. The kernel ends a read behind bytes that
 * have descriptors, so the last byte read beside them is of their frame. */
static void own_fds(struct frame_reader *reader, size_t len)
{
        while (reader->fd_own < reader->fd_count && reader->fd_ends[reader->fd_own] <= len)
                reader->fd_ends[reader->fd_own++] = 0;
        for (size_t i = reader->fd_own; i < reader->fd_count; i++)
                reader->fd_ends[i] -= len;
}

static int too_large(const struct frame_reader *reader, struct cause *cause)
{
        return cause_set(cause, CAUSE_TOO_LARGE, "a message on the control socket is larger than %zu bytes",
                         reader->in.max);
}

/* Keeps the descriptors of one control message, or closes those there is no room for: -1. */
static int keep_fds(struct frame_reader *reader, const struct cmsghdr *header)
{
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        int result = 0;

        for (size_t i = 0; i < count; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
                if (reader->fd_count < LIMIT_FRAME_FDS) {
                        reader->fd_ends[reader->fd_count] = reader->in.len;
                        reader->fds[reader->fd_count++] = fd;
                } else {
                        close_one(&fd);
                        result = -1;
                }
        }
        return result;
}

static int take_fds(struct frame_reader *reader, struct msghdr *message, struct cause *cause)
{
        int result = message->msg_flags & MSG_CTRUNC ? -1 : 0;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header))
                if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
                    keep_fds(reader, header) < 0)
                        result = -1;
        if (result < 0)
                cause_set(cause, CAUSE_TOO_LARGE, "more than %d file descriptors came with a message",
                          LIMIT_FRAME_FDS);
        return result;
}

int frame_receive(struct frame_reader *reader, int socket, struct cause *cause)
{
        size_t want = reader->in.max - reader->in.len;
        if (want > READ_AT_ONCE)
                want = READ_AT_ONCE;
        /* The limit is filled, and the NUL that ends the frame has not come. */
        if (!want) {
                too_large(reader, cause);
                return -2;
        }
        /* What is kept is no larger than what came: connections may be many. One thread reads, and no page is
         * touched that nothing came into, as on the stack all of them are. */
        static uint8_t piece[READ_AT_ONCE];
        union {
                struct cmsghdr aligned;
                char bytes[CMSG_SPACE(LIMIT_FRAME_FDS * sizeof(int))];
        } control;
        /* Without room for control data the kernel closes descriptors that come, and says
         * MSG_CTRUNC: they are refused as too many are. */
        struct iovec iov = { .iov_base = piece, .iov_len = want };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = reader->no_fds ? NULL : &control,
                                  .msg_controllen = reader->no_fds ? 0 : sizeof control };
        ssize_t got;
        do
                got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        while (got < 0 && errno == EINTR);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return -1;
        if (got < 0) {
                cause_set(cause, CAUSE_CLOSED, "reading from the control socket: %s", strerror(errno));
                return -2;
        }
        /* The bytes first: keep_fds() notes how far they reach. */
        int kept = buf_append(&reader->in, piece, (size_t)got);
        explicit_bzero(piece, (size_t)got); /* it may have held a password */
        if (take_fds(reader, &message, cause) < 0)
                return -2;
        if (kept < 0) {
                too_large(reader, cause);
                return -2;
        }
        return got > 0;
}

int frame_feed(struct frame_reader *reader, const void *bytes, size_t len, struct cause *cause)
{
        return buf_append(&reader->in, bytes, len) < 0 ? too_large(reader, cause) : 0;
}

/* jansson's own sentence quotes the text, which may be a password: only the place is told. */
static const char *fault_words(const json_error_t *error)
{
        enum json_error_code code = json_error_code(error);

        if (code == json_error_duplicate_key)
                return "the same field twice";
        if (code == json_error_invalid_utf8)
                return "text that is not UTF-8";
        if (code == json_error_null_byte_in_key)
                return "a NUL character in a name";
        if (code == json_error_numeric_overflow)
                return "a number that is too large";
        return "a fault in its syntax";
}

/* The name under which a text with a NUL stands, in depth; NULL: nowhere. Lists are of their member. */
static const char *nul_under(const char *name, json_t *value)
{
        const char *key, *found = NULL;
        json_t *one;
        size_t i;

        if (json_is_string(value))
                return strlen(json_string_value(value)) < json_string_length(value) ? name : NULL;
        json_array_foreach(value, i, one)
                if ((found = nul_under(name, one)))
                        return found;
        json_object_foreach(value, key, one)
                if ((found = nul_under(key, one)))
                        return found;
        return NULL;
}

/* JSON can say \u0000, no text of ours can hold it: that is a bad value, not a bad message. */
static int refuse_nul(const char *text, size_t len, struct cause *cause)
{
        json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        const char *name = nul_under("", json_object_get(object, "parameters"));

        if (name && *name)
                cause_about(cause, CAUSE_INVALID, name, "has a NUL character");
        else
                cause_set(cause, CAUSE_CALL, "a message has a NUL character where a name is");
        json_decref(object);
        return -1;
}

/* No byte of it needs a parser: ASCII without control bytes. Eight at a time. */
static bool is_plain(const char *text, size_t len)
{
        const uint64_t ones = UINT64_MAX / 255, high = ones * 0x80;
        uint64_t bad = 0, word;

        for (; len >= sizeof word; text += sizeof word, len -= sizeof word) {
                memcpy(&word, text, sizeof word);
                bad |= word | (word - ones * ' ');
        }
        for (; len; text++, len--)
                bad |= (uint64_t)((*text & 0x80) | (*text < ' ' ? 0x80 : 0));
        return (bad & high) == 0;
}

/* The parser looks at each byte many times: it gets "" in place of a long text, which is put in afterwards.
 */
static json_t *parse_around(const char *text, size_t len, const struct frame_long *found)
{
        size_t behind = found->from + found->len, rest = len - found->len;
        char *around = new_memory(rest);
        const json_t *was = NULL;

        memcpy(around, text, found->from);
        memcpy(around + found->from, text + behind, len - behind);
        json_t *object = json_loadb(around, rest, JSON_REJECT_DUPLICATES, NULL);
        json_t *parameters = json_object_get(object, "parameters");
        explicit_bzero(around, rest);
        free(around);
        was = json_object_get(parameters, found->name);
        if (json_is_string(was) &&
            json_object_set_new(parameters, found->name,
                                json_stringn_nocheck(text + found->from, found->len)) == 0)
                return object;
        json_decref(object);
        return NULL;
}

static json_t *load(const char *text, size_t len, const struct frame_long *found, json_error_t *error)
{
        json_t *object = found->len && is_plain(text + found->from, found->len)
                                 ? parse_around(text, len, found)
                                 : NULL;

        return object ? object
                      : json_loadb(text, len, JSON_REJECT_DUPLICATES, error); /* says what is wrong */
}

/* jansson recurses: the nesting was looked at first. */
static int parse(const char *text, size_t len, const struct frame_scan *scan, json_t **out,
                 struct cause *cause)
{
        if (scan->deepest > LIMIT_NESTING)
                return cause_set(cause, CAUSE_CALL, "a message is nested deeper than %d levels",
                                 LIMIT_NESTING);
        json_error_t error;
        json_t *object = load(text, len, &scan->found, &error);
        if (!object && json_error_code(&error) == json_error_null_character)
                return refuse_nul(text, len, cause);
        if (!object)
                return cause_set(cause, CAUSE_CALL, "a message is not JSON: %s near byte %d",
                                 fault_words(&error), error.position);
        if (!json_is_object(object)) {
                json_decref(object);
                return cause_set(cause, CAUSE_CALL, "a message is not a JSON object");
        }
        *out = object;
        return 1;
}

/* Each byte is looked at once, however small the pieces are: a peer that is slow costs no more than
 * one that is not. */
bool frame_look(struct frame_reader *reader)
{
        size_t len = reader->in.len - reader->searched;

        if (reader->whole || len == 0)
                return reader->whole;
        const uint8_t *bytes = buf_bytes(&reader->in) + reader->searched;
        const uint8_t *end = memchr(bytes, '\0', len);
        if (end)
                len = (size_t)(end - bytes);
        frame_scan_bytes(&reader->scan, bytes, len);
        reader->searched += len;
        reader->whole = end != NULL;
        return reader->whole;
}

/* The frame, of which nothing is needed any more, is gone. */
static void forget_frame(struct frame_reader *reader, size_t frame)
{
        buf_forget(&reader->in, frame + 1);
        own_fds(reader, frame + 1);
        reader->searched = 0;
        reader->whole = false;
        frame_scan_reset(&reader->scan);
}

int frame_next(struct frame_reader *reader, json_t **out, struct cause *cause)
{
        if (!frame_look(reader))
                return 0;
        int result = parse((const char *)buf_bytes(&reader->in), reader->searched, &reader->scan, out, cause);
        forget_frame(reader, reader->searched);
        return result;
}

void frame_take_text(struct frame_reader *reader, struct frame_text *text)
{
        struct buf *in = &reader->in;
        size_t frame = reader->searched;

        *text = (struct frame_text){ .len = frame, .size = frame + 1, .scan = reader->scan };
        if (in->start == 0 && in->len == frame + 1) { /* nothing came behind it */
                text->size = in->size;
                text->bytes = take(in->memory);
                *in = BUF_WITH_MAX(in->max);
        } else {
                text->bytes = (uint8_t *)copy_bytes((const char *)buf_bytes(in), frame);
        }
        forget_frame(reader, frame);
}

/* Somebody may have sent a password: the text goes as soon as its values are there. */
int frame_parse(struct frame_text *text, json_t **out, struct cause *cause)
{
        int result = parse((const char *)text->bytes, text->len, &text->scan, out, cause);

        explicit_bzero(text->bytes, text->size);
        free(take(text->bytes));
        return result;
}

/* All or nothing: where it does not fit, the output is as it was. */
int frame_append(struct buf *out, json_t *object)
{
        size_t before = out->len;
        struct json_writer writer = { .to = out };

        json_write_value(&writer, json_incref(object));
        if (writer.failed || buf_append(out, "", 1) < 0) {
                out->len = before;
                return -1;
        }
        return 0;
}

int frame_send(int socket, struct buf *out, const int *fds, size_t *fd_count, struct cause *cause)
{
        union {
                struct cmsghdr aligned;
                char bytes[CMSG_SPACE(LIMIT_FRAME_FDS * sizeof(int))];
        } control = { 0 };

        if (fd_count && *fd_count > LIMIT_FRAME_FDS)
                return cause_set(cause, CAUSE_TOO_LARGE, "more than %d file descriptors for one message",
                                 LIMIT_FRAME_FDS);
        /* The descriptors go with the first bytes; what a full socket leaves over is sent without
         * them. */
        while (out->len) {
                struct iovec iov = { .iov_base = out->memory + out->start, .iov_len = out->len };
                struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
                size_t fd_bytes = fd_count ? *fd_count * sizeof *fds : 0;
                if (fd_bytes) {
                        message.msg_control = &control;
                        message.msg_controllen = CMSG_SPACE(fd_bytes);
                        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
                        header->cmsg_level = SOL_SOCKET;
                        header->cmsg_type = SCM_RIGHTS;
                        header->cmsg_len = CMSG_LEN(fd_bytes);
                        memcpy(CMSG_DATA(header), fds, fd_bytes);
                }
                ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                        return 0;
                if (sent < 0)
                        return cause_set(cause, CAUSE_CLOSED, "writing to the control socket: %s",
                                         strerror(errno));
                buf_forget(out, (size_t)sent);
                if (fd_count)
                        *fd_count = 0;
        }
        return 1;
}
