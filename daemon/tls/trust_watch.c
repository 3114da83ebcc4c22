/* SPDX-License-Identifier: MIT */
/*
 * inotify on folders only: a file is replaced by renaming another over it, which its folder tells. Links are
 * followed to the folder they stand for; the links themselves (as in /etc/ssl/certs) change with their
 * folder.
 */
#include "daemon/tls/trust_watch.h"

#include "daemon/loop.h"

#include <libgen.h>
#include <limits.h>
#include <openssl/x509.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        QUIET_MS = 300, /* a package manager writes many files */
        PLACES_MOST = 8,
        EVENTS = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |
                 IN_DELETE_SELF | IN_MOVE_SELF,
};

struct place {
        int number; /* inotify's */
        char *name; /* of the one file that counts; NULL: all of the folder */
};

static struct {
        int fd; /* valid with `watch` */
        struct watch *watch;
        struct timer *quiet;
        struct place places[PLACES_MOST];
        size_t count;
        void (*changed)(void *ctx);
        void *ctx;
} watcher;

static void add_folder(const char *folder, const char *name)
{
        if (watcher.count == PLACES_MOST)
                return;
        int number = inotify_add_watch(watcher.fd, folder, EVENTS | IN_ONLYDIR);
        if (number < 0)
                return;
        watcher.places[watcher.count++] = (struct place){ .number = number, .name = copy_text(name) };
}

/* Of a file its folder is watched, and that of the file it is a link to. */
static void add_file(const char *path)
{
        char whole[PATH_MAX];
        const char *both[] = { path, realpath(path, whole) ? whole : NULL };

        for (size_t i = 0; i < count_of(both); i++) {
                if (!both[i] || (i == 1 && strcmp(both[0], both[1]) == 0))
                        continue;
                scoped(scoped_free) char *folder = copy_text(both[i]);
                scoped(scoped_free) char *name = copy_text(both[i]);
                add_folder(dirname(folder), basename(name));
        }
}

static void add_path(const char *path)
{
        struct stat st;

        if (!path || !*path)
                return;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                add_folder(path, NULL);
        else
                add_file(path);
}

/* Later, because who is told may watch anew, which frees the timer. */
static void tell(void *ctx)
{
        (void)ctx;
        if (watcher.watch)
                watcher.changed(watcher.ctx);
}

static void on_quiet(void *ctx)
{
        loop_later(tell, ctx);
}

static bool concerns(const struct inotify_event *event)
{
        if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW))
                return true;
        for (size_t i = 0; i < watcher.count; i++)
                if (watcher.places[i].number == event->wd &&
                    (!watcher.places[i].name ||
                     (event->len && strcmp(watcher.places[i].name, event->name) == 0)))
                        return true;
        return false;
}

static void on_events(void *ctx, int what)
{
        _Alignas(struct inotify_event) char bytes[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
        bool changed = false;
        ssize_t len;

        (void)ctx;
        (void)what;
        while ((len = read(watcher.fd, bytes, sizeof bytes)) > 0) {
                const struct inotify_event *event;
                for (const char *at = bytes; at < bytes + len; at += sizeof *event + event->len) {
                        event = (const struct inotify_event *)(const void *)at;
                        changed = changed || concerns(event);
                }
        }
        if (changed)
                timer_set(watcher.quiet, QUIET_MS);
}

static void add_default_places(void)
{
        const char *file = getenv(X509_get_default_cert_file_env());
        const char *list = getenv(X509_get_default_cert_dir_env());
        scoped(scoped_free) char *folders = copy_text(list && *list ? list : X509_get_default_cert_dir());
        char *rest = folders, *folder;

        add_path(file && *file ? file : X509_get_default_cert_file());
        while ((folder = strsep(&rest, ":")) != NULL)
                add_path(folder);
}

void trust_watch(const struct trust_settings *settings, void (*changed)(void *ctx), void *ctx)
{
        trust_watch_close();
        watcher.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (watcher.fd < 0)
                return;
        watcher.changed = changed;
        watcher.ctx = ctx;
        watcher.quiet = timer_new(on_quiet, NULL);
        watcher.watch = watch_new(watcher.fd, on_events, NULL);
        watch_for(watcher.watch, WATCH_READ);
        if (settings->system_store && settings->system_store[0])
                add_path(settings->system_store);
        else
                add_default_places();
        add_path(settings->revocation_lists);
}

void trust_watch_close(void)
{
        if (!watcher.watch)
                return;
        watch_free(take(watcher.watch));
        timer_free(take(watcher.quiet));
        (void)close(watcher.fd);
        for (size_t i = 0; i < watcher.count; i++)
                free(watcher.places[i].name);
        watcher.count = 0;
}
