/* SPDX-License-Identifier: MIT */
/*
 * Varlink framing (varlink.org): JSON objects, each ended by one NUL byte, over a stream socket, with file
 * descriptors passed along (SCM_RIGHTS). No I/O of its own but the two calls that wrap recvmsg and sendmsg;
 * used by the daemon (never blocks) and by the tool (waits with poll).
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"
#include "common/frame_scan.h"
#include "common/limits.h"

#include <jansson.h>

struct frame_reader {
        struct buf in;
        size_t searched;          /* bytes of `in` that were looked at: without the NUL that ends the frame */
        struct frame_scan scan;   /* of these */
        bool whole;               /* the NUL is the byte behind them */
        int fds[LIMIT_FRAME_FDS]; /* received, not taken yet; closed by frame_reader_free */
        size_t fd_ends[LIMIT_FRAME_FDS]; /* how much of `in` had come with it: it is of the frame with the
                                            last byte */
        size_t fd_count, fd_own;         /* the first fd_own are of the frame taken last */
        bool no_fds;                     /* none is taken */
};
void frame_reader_init(struct frame_reader *reader, size_t max);
void frame_reader_free(struct frame_reader *reader); /* wipes: a frame may have held a password */

/* How descriptors that nobody took are closed; NULL: by close(). Before the first of them comes. */
void frame_close_by(void (*close_one)(int fd));
/* Whether descriptors are taken at all: else they are lost in the kernel, and the read fails as one with too
 * many. */
void frame_reader_take_fds(struct frame_reader *reader, bool take_them);

/* Reads once from the socket. 1 = got bytes, 0 = the peer closed, -1 = would block, -2 = error or bound
 * passed (cause). Descriptors come with CLOEXEC; more than LIMIT_FRAME_FDS is an error. */
int frame_receive(struct frame_reader *reader, int socket, struct cause *cause) must_use;
/* Feeds bytes (tests, fuzzing). */
int frame_feed(struct frame_reader *reader, const void *bytes, size_t len, struct cause *cause) must_use;
/* Looks at what has come of the next frame, each byte once: true when it is whole. `searched` is then its
 * size, else how much of it there is, and `scan` what can be told without parsing it. */
bool frame_look(struct frame_reader *reader);
/* The next whole object: 1 with *out (caller decrefs), 0 none yet, -1 not a JSON object, or a text in it
 * has a NUL (cause: CAUSE_INVALID about the member). Bytes of a taken
 * frame are wiped. Depth is bounded (LIMIT_NESTING), duplicate keys refused. */
int frame_next(struct frame_reader *reader, json_t **out, struct cause *cause) must_use;
/* The same in two steps, for a frame that is whole (frame_look): its bytes are taken out, and parsed by any
 * thread, which overwrites and frees them. What came with it is its own as after frame_next. */
struct frame_text {
        uint8_t *bytes;
        size_t len, size; /* of the frame; of the memory */
        struct frame_scan scan;
};
void frame_take_text(struct frame_reader *reader, struct frame_text *text);
int frame_parse(struct frame_text *text, json_t **out, struct cause *cause) must_use;
/* Takes descriptor number `index` of those that came with the frame taken last; -1 when there is none. The
 * caller closes. */
int frame_take_fd(struct frame_reader *reader, size_t index);
/* Closes those of it that no one took: after each call was handled. */
void frame_drop_fds(struct frame_reader *reader);

/* Appends the object and its NUL to `out`; -1 when the bound would be passed. */
int frame_append(struct buf *out, json_t *object) must_use;
/* Sends from `out` what the socket takes, with these descriptors on the first byte. Bytes sent are consumed.
 * 1 = all sent, 0 = would block (fds have gone when *fd_count became 0), -1 = error. */
int frame_send(int socket, struct buf *out, const int *fds, size_t *fd_count, struct cause *cause) must_use;
