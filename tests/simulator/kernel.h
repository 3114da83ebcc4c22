/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the simulator's core need of each other. The world includes world.h alone.
 *
 * The executable defines the system calls that the daemon and its libraries make (open, epoll_wait,
 * clock_gettime ...), so the dynamic linker gives these to all of them. Descriptors from FD_FIRST on are the
 * simulator's; those below are real and passed on, but for 2 (the daemon's log) and what is opened by name,
 * which is always the simulated disk.
 */
#pragma once

#include "tests/simulator/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A second name of a function, for programs built with large files or _FORTIFY_SOURCE. */
#define ALSO_NAMED(other, name) __asm__(".globl " #other "\n.set " #other ", " #name)

enum { FD_FIRST = 512, FD_MOST = 4096 };

#define lengthof(array) (sizeof(array) / sizeof(array)[0])

/* ---- arena.c ---- */
void arena_open(void);
const void *arena_range(size_t *len); /* what is used of it */

/* ---- machine.c: what all lives share ---- */
enum life_end {
        LIFE_RUNS,
        LIFE_ENDED /* main() returned */,
        LIFE_KILLED,
        LIFE_POWER,
        LIFE_LAST /* the history is over */
};

struct shared {
        uint64_t seed;
        int64_t now_us;      /* the one time; the clocks are made from it */
        int64_t wall_start;  /* true time at its beginning, s */
        int64_t clock_error; /* s, of the machine's clock */
        int64_t slept_us;    /* boot clock minus monotonic clock */
        int64_t asleep_until_us;
        int64_t length_ms; /* of the history, without the honest time */
        uint32_t network;  /* the address that the machine has */
        bool honest;       /* the last part has begun */
        unsigned life;
        enum life_end how;
        int exit_status;
        int64_t start_at; /* ms: of the next life */
        bool ready;
        bool failed;
        char failure[4096];
        uint64_t hash;
        uint64_t lines;
        bool verbose;
        int64_t turns; /* of the daemon's loop, in all lives */
        int64_t calls;
        int64_t turn_work; /* calls by descriptor or path in this turn of the loop, by its own thread */
};
extern struct shared *shared;
extern bool in_daemon; /* main() of the daemon runs, or is about to: its calls are counted and may fail */

/* Called where the life may end: before a call that changes the disk. */
void machine_may_die(const char *where);
void machine_turn(void);       /* at each epoll_wait */
void machine_gives_time(void); /* before the daemon goes on */
void machine_between(void);    /* after events have run: deaths and signals take effect */
void machine_notified(const char *text, size_t len);
_Noreturn void machine_end_life(enum life_end how);
void machine_run_life(void);
void machine_init(void);

/* ---- events.c ---- */
void schedule_open(void);
/* As world_in(), for what ends with the life. */
uint64_t life_in_us(int64_t us, void (*fn)(void *ctx), void *ctx);
uint64_t world_at_us(int64_t when_us, void (*fn)(void *ctx), void *ctx);
/* When the first is due, us; INT64_MAX. */
int64_t events_due(void);
/* Runs the first one that is due; false: there is none. */
bool events_run_one(void);

/* ---- randomness.c ---- */
void randomness_open(void);

/* ---- history.c ---- */
void history_begin(void);
void history_lines(const char *who, const char *text, size_t len);
void history_flush(void);

/* ---- chance.c ---- */
void chance_open(uint64_t seed);
void chance_bytes(const char *stream, void *bytes, size_t len);
void feature_off(const char *name); /* before anything is drawn */
void features_each(void (*each)(void *ctx, const char *name, bool on), void *ctx);

/* ---- fds.c: descriptors ---- */
struct file; /* an open file description */
struct file_kind {
        const char *name;
        ssize_t (*read)(struct file *file, void *bytes, size_t len);
        ssize_t (*write)(struct file *file, const void *bytes, size_t len);
        unsigned (*ready)(struct file *file); /* POLLIN ... */
        void (*close)(struct file *file);     /* the last descriptor has gone; frees what hangs from it */
};
struct file {
        const struct file_kind *kind;
        unsigned references;
        int flags; /* O_NONBLOCK, O_APPEND ... */
        void *object;
        int64_t at;      /* place in a file */
        uint64_t number; /* in the order of opening */
};
int fd_new(const struct file_kind *kind, void *object, int flags); /* -1: EMFILE */
int fd_of_file(struct file *file); /* one more descriptor; takes a reference over */
struct file *fd_file(int fd);      /* NULL: not the simulator's, or not open (EBADF) */
static inline bool fd_is_ours(int fd)
{
        return fd >= FD_FIRST && fd < FD_FIRST + FD_MOST;
}
struct file *file_keep(struct file *file);
void file_drop(struct file *file);
unsigned fds_open(void); /* how many */
void fds_tell(void);     /* names them in the history */
long real(long number, ...);

/* ---- poll.c ---- */
/* Nothing is run, time goes on, threads work: nanosleep() and its like. */
void block_us(int64_t us);

/* ---- disk.c, files.c ---- */
struct inode {
        uint64_t number;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        unsigned links, opens, kept; /* kept: by the journal, for what a power cut may bring back */
        int64_t size, synced_size;
        bool size_dirty;
        struct timespec changed, modified;
        uint8_t **pages; /* NULL: a hole */
        uint8_t **undo;  /* what the disk has of a page that was written since the last sync: [page] or NULL =
                            as now */
        size_t page_count;
        bool dirty;
        struct entry *entries; /* of a folder, in the order in which they were made */
        size_t entry_count, entry_room;
        struct inode *parent;
        uint64_t socket; /* of a socket: which life's listener */
};
struct entry {
        uint32_t hash;
        char *name;
        struct inode *inode;
};
enum { PAGE_SIZE_ = 4096 };

void disk_open(void);
void inode_opened(struct inode *inode);
void inode_closed(struct inode *inode);
void disk_life_over(void);
struct inode *inode_new(mode_t mode);
void inode_release(struct inode *inode); /* when nothing has it any more it is freed */
ssize_t inode_read(struct inode *inode, void *bytes, size_t len, int64_t at);
/* -1 with errno. */
ssize_t inode_write(struct inode *inode, const void *bytes, size_t len, int64_t at);
int inode_resize(struct inode *inode, int64_t size);
bool inode_reserve(struct inode *inode, int64_t size); /* false: no room */
int inode_sync(struct inode *inode);
int inodes_sync(void);
struct inode *folder_find(const struct inode *folder, const char *name, size_t len);
int folder_add(struct inode *folder, const char *name, struct inode *inode);
int folder_remove(struct inode *folder, const char *name);
int folder_move(struct inode *from, const char *old, struct inode *to, const char *name, bool exchange);
struct inode *disk_root(void);
void disk_power_cut(void);
struct timespec disk_time(void);
struct inode *path_find(int folder_fd, const char *path, bool follow); /* NULL with errno */
int inode_fd(struct inode *inode, int flags);
struct inode *file_inode(struct file *file); /* NULL: not a file or folder */
int64_t disk_left(void);
/* Of those that fail at chance. 0, or an errno. */
int disk_trouble(const char *call, const struct inode *inode);
size_t disk_part(size_t len);
void disk_faults_open(void);

/* ---- sockets.c ---- */
struct socket_kind { /* what socket calls do, by the kind of the file */
        struct file_kind file;
        int (*connect)(struct file *file, const void *address, size_t len);
        int (*bind)(struct file *file, const void *address, size_t len);
        int (*accept)(struct file *file); /* a descriptor */
        ssize_t (*receive)(struct file *file, void *bytes, size_t len, bool peek,
                           int *passed); /* passed: -1, or a descriptor */
        ssize_t (*send)(struct file *file, const void *bytes, size_t len, const int *fds, size_t fd_count);
        int (*shutdown)(struct file *file, int how);
        int (*option)(struct file *file, int level, int name, void *value, size_t *len); /* getsockopt */
        void (*names)(struct file *file, bool peer, void *address, size_t *len);
};
int tcp_new(int family, int flags);
int local_new(int type, int flags);
/* A Unix socket that connects to a server of the world, and is a connection like others then. False: no such
 * server; *error: 0, or why it does not take it. */
bool tcp_takes_over(struct file *file, const char *path, int *error);
int netlink_new(int flags);
void network_open(void);
void network_life_over(void); /* the life is over: its peers and clients are told */
void clients_open(void);
void clients_life_over(void);
void netlink_tell(void);
void names_open(void);

/* ---- threads.c ---- */
/* From work() of a job: it takes so long more. */
void job_takes(int64_t ms);
bool threads_work_one(void); /* one step of what is waiting, at once; false: nothing to do */

/* ---- timers of the kernel: poll.c ---- */
void clock_was_set(void);

/* ---- inotify.c ---- */
void inotify_tell(void);
