/* SPDX-License-Identifier: MIT */
/*
 * What the simulator's core gives to the world that lives on it, and what it asks of it.
 *
 * The whole daemon, main() and all, runs over a kernel made by the core (kernel.h): descriptors, sockets,
 * files, clocks, randomness and threads are the core's, in one process, in virtual time; a seed is a history.
 * One start of the daemon is a *life*: a child process, so that kill -9 is exit and nothing of it stays. What
 * outlives a life is in the *arena*, memory that all lives share at the same addresses: the disk, the events
 * to come, the streams of chance, and the world.
 *
 * Rules for the world (servers, people, invariants):
 * - It is called back inside a life, between two turns of the daemon, never while the daemon's own code runs.
 * Also while the daemon is down.
 * - What it keeps from one callback to the next is from world_alloc(). Static variables are set in
 * world_build() and never again. What malloc() gave (SSL objects) belongs to the life: a peer whose end is
 * PEER_KILLED must not touch it.
 * - It never asks a real clock, random source or file: only what is here, so that a history replays to the
 * byte. Loops over things go in the order in which they were made, never by address.
 *
 * Who draws what: each decision names a stream of chance; a feature that is off draws nothing and moves no
 * other stream.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define world_printf(at, from) __attribute__((format(printf, at, from)))

/* ---- what a world defines ---- */

/* Once, before the first life: features drawn, servers listening, names known, files laid (settings, System
 * Trust Store), first events planned, invariants added. The hour of the wall clock has been set. */
void world_build(void);
/* The history's end comes near: from now on the core adds no fault, and the world does likewise: servers
 * answer, people change nothing. Invariants' `end` is called HONEST_MS later, or as soon as world_settled().
 */
void world_turn_honest(void);
bool world_settled(void);

/* ---- memory of the world ---- */

/* Zeroed, never NULL. */
void *world_alloc(size_t size) __attribute__((malloc));
void *world_realloc(void *old, size_t size);
void world_free(void *memory);
char *world_text(const char *format, ...) world_printf(1, 2);
void *world_copy(const void *bytes, size_t len); /* a NUL byte follows */

/* ---- time ---- */

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

/* Since the history began. */
int64_t world_now(void);
/* Seconds of the true time, which servers have; the daemon's machine may think otherwise
 * (machine_step_clock). */
time_t world_time(void);
/* fn(ctx) at that moment (a past one: next); events of one moment come in an order that the seed decides.
 * Returns a number for world_cancel, never 0. */
uint64_t world_at(int64_t when, void (*fn)(void *ctx), void *ctx);
uint64_t world_in(int64_t ms, void (*fn)(void *ctx), void *ctx);
void world_cancel(uint64_t event);

/* ---- chance ---- */

uint64_t chance(const char *stream);
/* From `least` to `most`, both included. */
int64_t chance_between(const char *stream, int64_t least, int64_t most);
bool chance_permille(const char *stream, unsigned permille);
/* About `mean`, many small and few large (exponential), at most 20 times the mean. */
int64_t chance_about(const char *stream, int64_t mean);
/* Whether this history has the feature: drawn at the first question, with so many per cent; --without NAME
 * switches it off. One word for each kind of fault or oddity ("net.reset", "imap.renumber", "people.delete").
 */
bool feature(const char *name, unsigned percent);

/* ---- the history, and what may not happen in it ---- */

/* One line of the log, with the time. Each is part of the history's hash. `who`: "smtp.a.example", "anna",
 * "disk". */
void history(const char *who, const char *format, ...) world_printf(2, 3);
/* This must not happen: the history ends here as failed. */
_Noreturn void violated(const char *invariant, const char *format, ...) world_printf(2, 3);

struct invariant {
        const char *name;
        void (*step)(void); /* after each turn of the daemon; must be cheap. May be NULL. */
        void (*end)(void);  /* when the world has been honest. May be NULL. */
};
void invariant_add(const struct invariant *invariant);

/* ---- the network: servers ---- */

/* A connection as its server sees it. */
struct peer;

enum peer_end {
        PEER_HALF,  /* the daemon says no more (FIN); it may still be answered */
        PEER_GONE,  /* over: reset, or closed by both. The last call for this peer */
        PEER_KILLED /* the life it talked to is over: as PEER_GONE, and memory from malloc() went with it */
};
struct server_ops {
        void (*accepted)(struct peer *peer);
        void (*heard)(struct peer *peer, const void *bytes, size_t len);
        void (*ended)(struct peer *peer, enum peer_end how);
};
/* At a numeric address ("192.0.2.10", "2001:db8::1"); `name` is for the history. Kept for ever, as is `ops`.
 */
struct listening *server_listen(const char *name, const char *address, uint16_t port,
                                const struct server_ops *ops, void *ctx);
/* The same at a Unix socket, of which there is no file. */
struct listening *server_listen_local(const char *name, const char *path, const struct server_ops *ops,
                                      void *ctx);
/* How it takes connections from now on. */
enum listening_state { LISTEN_TAKES, LISTEN_REFUSES, LISTEN_SILENT /* SYNs are lost */, LISTEN_UNREACHABLE };
void server_state(struct listening *listening, enum listening_state state);

void *peer_server(const struct peer *peer); /* the ctx of its server_listen() */
void *peer_ctx(const struct peer *peer);
void peer_set_ctx(struct peer *peer, void *ctx);
const char *peer_name(const struct peer *peer); /* "smtp.a.example#17" */
uint16_t peer_port(const struct peer *peer);
/* The daemon has given the connection up: what still comes was on its way. */
bool peer_was_left(const struct peer *peer);
/* The network brings it: later, in pieces, or never, as the seed decides. Nothing happens after the peer has
 * ended. */
void peer_send(struct peer *peer, const void *bytes, size_t len);
/* FIN after what was sent; no heard() any more. ended(PEER_GONE) comes later. */
void peer_close(struct peer *peer);
/* RST now; ended(PEER_GONE) comes later. */
void peer_reset(struct peer *peer);
/* The file that was passed over a Unix socket, as bytes; world_free() it. NULL: none was. */
char *peer_file(struct peer *peer, size_t *len);
/* Nothing goes either way for so long; -1: for ever. */
void peer_stall(struct peer *peer, int64_t ms);

/* ---- names ---- */

/* What the resolver says of a host; `addresses` separated by spaces. Empty: has none. */
void name_set(const char *host, const char *addresses);
enum name_state { NAME_ANSWERS, NAME_TRY_AGAIN, NAME_HANGS /* half a minute, then try again */ };
void name_state(const char *host, enum name_state state);

/* ---- local clients: callers at the control socket ---- */

/* A process that talks Varlink with the daemon. Nothing of it is lost or reordered, but it may be cut by the
 * end of a life. */
struct caller;
struct caller_ops {
        void (*heard)(struct caller *caller, const char *json, size_t len); /* one message, without its NUL */
        void (*ended)(struct caller *caller); /* the daemon closed, or its life is over; the last call */
};
/* NULL: the daemon does not listen. A client of one user; uid 0 may do everything (users and groups:
 * names.c). */
struct caller *caller_open(uid_t uid, const struct caller_ops *ops, void *ctx);
void *caller_ctx(const struct caller *caller);
/* One message, without its NUL. `file` (may be NULL): a descriptor of a file with these bytes goes with it.
 */
void caller_send(struct caller *caller, const char *json, size_t len, const void *file, size_t file_len);
/* What the daemon has passed to it, the oldest first, as bytes; world_free() it. NULL: nothing. */
char *caller_file(struct caller *caller, size_t *len);
/* Goes away; no ended() any more. */
void caller_close(struct caller *caller);

/* ---- the machine and the daemon on it ---- */

enum death {
        DEATH_KILL, /* kill -9: the disk keeps all that was written */
        DEATH_POWER /* the power fails: the disk keeps what was synced, and of the rest what chance leaves */
};
/* Takes effect when the world's callback returns. It is started again after so long. */
void daemon_kill(enum death how, int64_t down_ms);
/* SIGTERM, and a start so long after its end. SIGHUP. */
void daemon_restart(int64_t down_ms);
void daemon_reload(void);
/* It has said READY=1 and is not ending. */
bool daemon_is_ready(void);
/* How often it was started. */
unsigned daemon_life(void);

/* The machine's wall clock goes so far wrong (adds up); sleeps: no time passes for the daemon but on the boot
 * clock. */
void machine_step_clock(int64_t seconds);
int64_t machine_clock_error(void);
/* When that was, in world_now(); and how often it was while no daemon was there to see it. */
int64_t machine_clock_set_at(void);
unsigned machine_clock_unseen(void);
void machine_sleep(int64_t ms);
int64_t machine_woke_at(void); /* in world_now(); ahead: it sleeps */
/* As world_now(), without the time in which the machine slept. */
int64_t machine_awake(void);
/* Addresses and routes are others: netmon is told. */
void machine_network_changed(void);

/* ---- the disk of the machine ---- */

/* A file, and the folders to it, that was always there. Mode 0644. */
void disk_put(const char *path, const void *bytes, size_t len);
/* What programs see now; world_free() it. NULL: there is none. A NUL byte follows. */
char *disk_get(const char *path, size_t *len);
/* Each name in a folder, in order. */
void disk_list(const char *folder, void (*each)(void *ctx, const char *name), void *ctx);
void disk_remove(const char *path);
/* How many bytes are left for what is written; -1: plenty. */
void disk_room(int64_t bytes);
/* When it was last full or failing, in world_now(); -1: never. */
int64_t disk_ill_at(void);
/* One call of the daemon fails, that many calls from now (where the history has disks that fail). */
void disk_fail_once(int64_t calls);

#define SIM_CONFIG       "/etc/emailsecd/emailsecd.conf"
#define SIM_STATE        "/var/lib/emailsecd"
#define SIM_SOCKET       "/run/emailsecd/io.emailsec"
#define SIM_SYSTEM_TRUST "/etc/ssl/certs/ca-certificates.crt"
