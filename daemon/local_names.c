/* SPDX-License-Identifier: MIT */
/* What local names stand for; see local_names.h. */
#include "daemon/local_names.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "daemon/alias_file.h"
#include "daemon/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAILNAME "/etc/mailname"

enum {
        TOLD_LINES = 3, /* of the file that are not followed, at once */
        STEPS = 10000,  /* in finding what one name stands for */
};

/* By which a file is known to be the one that was read. */
struct file_mark {
        dev_t device;
        ino_t number;
        off_t size;
        struct timespec changed, status_changed;
};

/* Never changed once it is made, `users` apart, so any thread that holds it reads it without a lock. */
struct local_names {
        atomic_uint users;
        char *file;      /* AliasFile=, or NULL */
        char *recipient; /* LocalRecipients=, or NULL */
        char *hostname;  /* Hostname= */
        char *domain;    /* of senders */
        char *trouble;   /* why the file could not be read; NULL */
        struct aliases aliases;
        struct file_mark marks[2]; /* of `file`, of MAILNAME */
};

/* Of the loop's thread alone; other threads get theirs held. */
static struct {
        struct local_names *now;
        struct workers *threads;
        bool looking;                 /* a look is under way */
        struct asker *first, **asked; /* who wants one that begins after that; and where the next one hangs */
} known = { .asked = &known.first };

struct local_names *local_names_hold_again(struct local_names *names)
{
        if (names)
                atomic_fetch_add(&names->users, 1);
        return names;
}

struct local_names *local_names_hold(void)
{
        return local_names_hold_again(known.now);
}

/* The last one to let go frees it, on whatever thread that is. */
void local_names_release(struct local_names *names)
{
        if (!names || atomic_fetch_sub(&names->users, 1) != 1)
                return;
        aliases_free(&names->aliases);
        free(names->file);
        free(names->recipient);
        free(names->hostname);
        free(names->domain);
        free(names->trouble);
        free(names);
}

/* ---- reading ---- */

static void mark_of(const char *path, struct file_mark *out)
{
        struct stat there;

        memset(out, 0, sizeof *out); /* compared as bytes */
        if (!path || stat(path, &there) < 0)
                return;
        out->device = there.st_dev;
        out->number = there.st_ino;
        out->size = there.st_size;
        out->changed = there.st_mtim;
        out->status_changed = there.st_ctim;
}

/* All of a regular file; NULL with errno, 0 where it is too large or no such file. */
static char *read_whole(const char *path, size_t most, size_t *out_len)
{
        struct stat there;
        /* O_NONBLOCK: to open a FIFO without a writer must not hang the thread. */
        scoped(scoped_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0 || fstat(fd, &there) < 0)
                return NULL;
        errno = 0;
        if (!S_ISREG(there.st_mode) || there.st_size > (off_t)most)
                return NULL;
        scoped(scoped_free) char *bytes = new_zeroed((size_t)there.st_size + 1, 1);
        size_t len = 0;
        /* What is appended meanwhile is left to the next look, which finds other marks. */
        while (len < (size_t)there.st_size) {
                ssize_t got = read(fd, bytes + len, (size_t)there.st_size - len);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return NULL;
                if (got == 0)
                        break;
                len += (size_t)got;
        }
        *out_len = len;
        return take(bytes);
}

/* A file that is missing is no trouble: then no name has an alias. */
static void read_aliases(struct local_names *names)
{
        size_t len = 0;

        if (!names->file)
                return;
        scoped(scoped_free) char *bytes = read_whole(names->file, LIMIT_ALIAS_FILE, &len);
        if (bytes)
                aliases_parse(bytes, len, &names->aliases);
        else if (errno != ENOENT)
                names->trouble =
                        text_of("%s cannot be read: %s", names->file,
                                errno ? strerror(errno) : "it is no regular file, or larger than 1 MiB");
}

/* The first line of /etc/mailname, where it is a domain. */
static char *read_domain(const char *hostname)
{
        size_t len = 0;
        scoped(scoped_free) char *text = read_whole(MAILNAME, 4096, &len);

        if (text)
                text[strcspn(text, " \t\r\n")] = '\0';
        scoped(scoped_free) char *probe = text && text[0] ? text_of("root@%s", text) : NULL;
        return probe && address_check(probe, false, NULL) == 0 ? take(text) : copy_text(hostname);
}

/* With marks from before the reading: a change meanwhile is seen the next time. */
static struct local_names *read_names(const char *file, const char *recipient, const char *hostname)
{
        struct local_names *names = new_object(struct local_names);

        atomic_init(&names->users, 1);
        names->file = copy_text(file);
        names->recipient = copy_text(recipient);
        names->hostname = copy_text(hostname);
        mark_of(file, &names->marks[0]);
        mark_of(MAILNAME, &names->marks[1]);
        read_aliases(names);
        names->domain = read_domain(hostname);
        return names;
}

static void replace(struct local_names *fresh)
{
        local_names_release(known.now);
        known.now = fresh;
}

/* Blocks for the reading: at the start and on reload the names must be known when this returns. */
void local_names_open(const struct settings *settings)
{
        replace(read_names(settings->alias_file, settings->local_recipients, settings->hostname));
        if (!known.threads)
                known.threads = workers_new("local-names", 1);
}

void local_names_close(void)
{
        workers_free(take(known.threads));
        replace(NULL);
}

/* ---- looking whether it has changed ---- */

struct asker {
        void (*done)(void *ctx);
        void *ctx;
        struct asker *next;
};

/* `before` is held for as long as the job is under way; the job reads its settings from there. */
struct look {
        struct job job;
        struct local_names *before, *fresh;
        struct asker *askers;
};

/* On the thread of local names. Without other marks nothing is read, and `fresh` stays NULL. */
static void look_again(struct job *job)
{
        struct look *look = container_of(job, struct look, job);
        struct file_mark marks[2];

        mark_of(look->before->file, &marks[0]);
        mark_of(MAILNAME, &marks[1]);
        if (memcmp(marks, look->before->marks, sizeof marks) != 0)
                look->fresh = read_names(look->before->file, look->before->recipient, look->before->hostname);
}

static void look_for_askers(void);

/* On the loop again. */
static void looked(struct job *job)
{
        struct look *look = container_of(job, struct look, job);

        if (look->fresh && known.now == look->before)
                replace(take(look->fresh)); /* else somebody was faster, or the settings are others now */
        local_names_release(look->fresh);
        local_names_release(look->before);
        struct asker *asker = take(look->askers);
        free(look);
        while (asker) {
                struct asker *told = asker;
                asker = told->next;
                told->done(told->ctx);
                free(told);
        }
        known.looking = false;
        look_for_askers();
}

/* One look for all who ask while another one is under way: that may have passed what they want to see. */
static void look_for_askers(void)
{
        if (known.looking || !known.first)
                return;
        struct look *look = new_object(struct look);
        *look = (struct look){ .job = { .work = look_again, .done = looked },
                               .before = local_names_hold(),
                               .askers = take(known.first) };
        known.asked = &known.first;
        known.looking = true;
        if (known.threads) {
                workers_run(known.threads, &look->job);
        } else { /* the end came meanwhile: what is known stands */
                looked(&look->job);
        }
}

void local_names_look(void (*done)(void *ctx), void *ctx)
{
        if (!known.threads) { /* before the beginning or after the end: what is known stands */
                loop_later(done, ctx);
                return;
        }
        struct asker *asker = new_object(struct asker);
        *asker = (struct asker){ .done = done, .ctx = ctx };
        *known.asked = asker;
        known.asked = &asker->next;
        look_for_askers();
}

/* ---- what is a local name ---- */

/* Length of the part before the domain where that is this machine's alone, else 0. *full: the domain is its
 * full name. */
static size_t own_part(const struct local_names *names, const char *address, bool *full)
{
        /* Domains are compared without regard to case (RFC 5321 section 2.4). */
        static const char *const always[] = { "localhost", "localhost.localdomain", "localhost." };
        const char *at = strrchr(address, '@');
        size_t label = strcspn(names->hostname, ".");

        *full = false;
        if (!at || at == address || address[0] == '"')
                return 0;
        for (size_t i = 0; i < count_of(always); i++)
                if (strcasecmp(at + 1, always[i]) == 0)
                        return (size_t)(at - address);
        if (strlen(at + 1) == label && strncasecmp(at + 1, names->hostname, label) == 0)
                return (size_t)(at - address);
        *full = strcasecmp(at + 1, names->hostname) == 0 || strcasecmp(at + 1, names->domain) == 0;
        return *full ? (size_t)(at - address) : 0;
}

bool local_names_concern(const struct local_names *names, const char *address)
{
        bool full;

        return mailbox_is_local(address) || own_part(names, address, &full) > 0;
}

/* ---- what it stands for ---- */

/* One resolution. `on_the_way` borrows its names: each outlives the call that has put it there. */
struct resolving {
        const struct local_names *names;
        const char *on_the_way[LIMIT_ALIAS_DEPTH];
        size_t depth, steps;
        size_t count;        /* addresses found */
        bool cut;            /* there are more than are followed */
        bool by_default;     /* LocalRecipients= is among them */
        bool circle, deep;   /* where the present name has led: to one on its way; further than is followed */
        struct cause *cause; /* the first thing that is not followed */
        void (*found)(void *ctx, const char *address);
        void *ctx;
};

static void remedy(struct cause *cause, const struct local_names *names, const char *name)
{
        cause_remedy(cause,
                     "set LocalRecipients=ADDRESS in [Service] of emailsecd.conf, then: emailsecctl "
                     "reload%s%s%s%s%s",
                     names->file ? "; or write into " : "", names->file ? names->file : "",
                     names->file ? ": " : "", names->file ? name : "", names->file ? ": ADDRESS" : "");
}

/* The first reason is kept: the later ones mostly follow from it. */
static void not_followed(struct resolving *resolving, const char *name, const char *format, ...)
        printf_like(3, 4);
static void not_followed(struct resolving *resolving, const char *name, const char *format, ...)
{
        va_list args;

        if (!resolving->cause || resolving->cause->code != CAUSE_NONE)
                return;
        va_start(args, format);
        scoped(scoped_free) char *text = text_of_list(format, args);
        va_end(args);
        (void)cause_about(resolving->cause, CAUSE_INVALID, "recipients", "%s", text);
        remedy(resolving->cause, resolving->names, name);
}

/* Beyond the limit it is counted and not given on; `cut` then refuses the whole recipient. */
static void find(struct resolving *resolving, const char *address)
{
        if (resolving->count++ < LIMIT_RECIPIENTS)
                resolving->found(resolving->ctx, address);
}

/* However many of a list come to it: once. */
static void find_local_recipient(struct resolving *resolving)
{
        if (!resolving->by_default)
                find(resolving, resolving->names->recipient);
        resolving->by_default = true;
}

/* A name that no alias leads on from. */
static void end_at(struct resolving *resolving, const char *name)
{
        const struct local_names *names = resolving->names;
        bool circle = resolving->circle, deep = resolving->deep;

        resolving->circle = resolving->deep = false;
        if (names->recipient)
                find_local_recipient(resolving);
        else if (names->trouble)
                not_followed(resolving, name,
                             "%s is a local name without an address: %s, and LocalRecipients= is not set",
                             name, names->trouble);
        else if (circle)
                not_followed(resolving, name,
                             "%s is a local name without an address: its alias in %s goes in a circle, and "
                             "LocalRecipients= is not set",
                             name, names->file);
        else if (deep)
                not_followed(resolving, name,
                             "%s is a local name without an address: more than %d aliases in %s lead on from "
                             "one to the next, and LocalRecipients= is not set",
                             name, LIMIT_ALIAS_DEPTH, names->file);
        else
                not_followed(
                        resolving, name,
                        "%s is a local name without an address: it has no alias%s%s, and LocalRecipients= is "
                        "not set",
                        name, names->file ? " in " : "", names->file ? names->file : "");
}

static const char *const kind_words[] = {
        [ALIAS_ADDRESS] = "",
        [ALIAS_NAME] = "",
        [ALIAS_FINAL] = "",
        [ALIAS_COMMAND] = "goes to a command, which emailsecd does not run",
        [ALIAS_FILE] = "goes to a file, which emailsecd does not write",
        [ALIAS_INCLUDE] = "includes a list, which emailsecd does not read",
        [ALIAS_BAD] = "goes to what is no address",
};

static void resolve(struct resolving *resolving, const char *name);

/* An address; where it is one of this machine's with an alias or a recipient for it, that. */
static void resolve_address(struct resolving *resolving, const char *address)
{
        const struct local_names *names = resolving->names;
        bool full;
        size_t len = own_part(names, address, &full);
        scoped(scoped_free) char *name = copy_bytes(address, len);

        bool leads_on = len && (aliases_find(&names->aliases, name) || (!full && names->recipient));
        for (size_t i = 0; leads_on && i < resolving->depth; i++)
                leads_on = strcasecmp(resolving->on_the_way[i], name) != 0;
        if (leads_on)
                resolve(resolving, name);
        else
                find(resolving, address);
}

/* LocalRecipients= stands in for a target that is not followed, so that no mail is lost to it. */
static void resolve_item(struct resolving *resolving, const struct alias *alias,
                         const struct alias_item *item)
{
        switch (item->kind) {
        case ALIAS_ADDRESS:
                resolve_address(resolving, item->text);
                break;
        case ALIAS_NAME:
                resolve(resolving, item->text);
                break;
        case ALIAS_FINAL:
                end_at(resolving, item->text);
                break;
        case ALIAS_COMMAND:
        case ALIAS_FILE:
        case ALIAS_INCLUDE:
        case ALIAS_BAD:
                if (resolving->names->recipient)
                        find_local_recipient(resolving);
                else
                        not_followed(resolving, alias->name,
                                     "%s %s (line %u of %s), and LocalRecipients= is not set", alias->name,
                                     kind_words[item->kind], alias->line, resolving->names->file);
                break;
        }
}

/* Depth is bounded by LIMIT_ALIAS_DEPTH, and width by STEPS over all branches: lists in lists would grow
 * without bound. */
static void resolve(struct resolving *resolving, const char *name)
{
        const struct alias *alias = aliases_find(&resolving->names->aliases, name);

        resolving->circle = false;
        for (size_t i = 0; alias && i < resolving->depth; i++)
                if (strcasecmp(resolving->on_the_way[i], name) == 0) { /* "root: root": the name itself */
                        resolving->circle = i + 1 < resolving->depth;
                        alias = NULL;
                }
        resolving->deep = alias && resolving->depth == LIMIT_ALIAS_DEPTH;
        if (!alias || resolving->deep) {
                end_at(resolving, name);
                return;
        }
        resolving->on_the_way[resolving->depth++] = name;
        if (!alias->count)
                end_at(resolving, name);
        for (size_t i = 0; i < alias->count && !resolving->cut; i++) {
                resolving->cut = resolving->count >= LIMIT_RECIPIENTS || resolving->steps++ >= STEPS;
                if (!resolving->cut)
                        resolve_item(resolving, alias, &alias->items[i]);
        }
        resolving->depth--;
}

int local_names_resolve(const struct local_names *names, const char *recipient,
                        void (*found)(void *ctx, const char *address), void *ctx, struct cause *cause)
{
        struct cause why = { 0 };
        struct resolving resolving = { .names = names, .found = found, .ctx = ctx, .cause = &why };

        if (mailbox_is_local(recipient))
                resolve(&resolving, recipient);
        else
                resolve_address(&resolving, recipient);
        /* One address is enough: a part that is not followed refuses nothing as long as another is. */
        if (resolving.count && !resolving.cut)
                return 0;
        if (resolving.cut && resolving.count) { /* nobody of it is left out unsaid */
                (void)cause_about(&why, CAUSE_INVALID, "recipients",
                                  "%s stands for more than the %d addresses of one message, or for "
                                  "lists in lists without end",
                                  recipient, LIMIT_RECIPIENTS);
                cause_remedy(&why, "make it smaller in %s, or divide it",
                             names->file ? names->file : "the alias file");
        }
        if (cause)
                *cause = why;
        return -1;
}

char *local_names_sender(const struct local_names *names, const char *sender)
{
        return mailbox_is_local(sender) ? text_of("%s@%s", sender, names->domain) : copy_text(sender);
}

/* ---- in a header ---- */

/* For one field; the list is made anew for each address in it. */
struct instead {
        const struct local_names *names;
        bool recipients;
        const char *address;
        struct buf list;
        bool other, full;
};

static void add_to_list(void *ctx, const char *address)
{
        struct instead *instead = ctx;
        scoped(scoped_free) char *ascii = address_on_wire(address);

        instead->other |= strcmp(address, instead->address) != 0;
        instead->full |= buf_appendf(&instead->list, "%s%s", instead->list.len ? ", " : "", ascii) < 0;
}

/* Called by mailboxes_replace(), which takes the text over; NULL leaves the address as it stands. */
static char *whole_address(void *ctx, const char *address)
{
        struct instead *instead = ctx;

        if (!local_names_concern(instead->names, address))
                return NULL;
        instead->address = address;
        instead->list = BUF_WITH_MAX(64 * KIB);
        instead->other = instead->full = false;
        int resolved = instead->recipients
                               ? local_names_resolve(instead->names, address, add_to_list, instead, NULL)
                               : -1;
        scoped(scoped_free) char *list = instead->list.len ? buf_take_text(&instead->list) : NULL;
        buf_free(&instead->list);
        if (resolved == 0 && list && !instead->full)
                return instead->other ? take(list) : NULL;
        return mailbox_is_local(address) ? local_names_sender(instead->names, address) : NULL;
}

char *local_names_in_field(const struct local_names *names, const char *name, size_t name_len,
                           const char *value)
{
        static const char *const recipients[] = { "To",        "Cc",        "Bcc",       "Reply-To",
                                                  "Resent-To", "Resent-Cc", "Resent-Bcc" };
        struct instead instead = { .names = names };

        if (!field_has_addresses(name, name_len))
                return NULL;
        for (size_t i = 0; i < count_of(recipients); i++)
                instead.recipients |=
                        strlen(recipients[i]) == name_len && strncasecmp(recipients[i], name, name_len) == 0;
        return mailboxes_replace(value, whole_address, &instead);
}

/* ---- what is missing ---- */

/* Only whether there is an address matters. */
static void nobody(void *ctx, const char *address)
{
        (void)ctx;
        (void)address;
}

/* Mail to root goes somewhere, and still a line of the file is not followed. */
static void advise_lines(const struct local_names *names, void (*advise)(void *ctx, const char *sentence),
                         void *ctx)
{
        unsigned told = 0;

        for (size_t i = 0; i < names->aliases.count; i++) {
                const struct alias *alias = &names->aliases.of[i];
                const char *words = "";
                for (size_t n = 0; n < alias->count && !words[0]; n++)
                        words = kind_words[alias->items[n].kind];
                if (!words[0] || told++ >= TOLD_LINES)
                        continue;
                scoped(scoped_free) char *text = text_of("line %u of %s: %s %s: write an address there",
                                                         alias->line, names->file, alias->name, words);
                advise(ctx, text);
        }
        if (told > TOLD_LINES) {
                scoped(scoped_free) char *text =
                        text_of("%u more lines of %s are not followed", told - TOLD_LINES, names->file);
                advise(ctx, text);
        }
}

void local_names_advise(void (*advise)(void *ctx, const char *sentence), void *ctx)
{
        const struct local_names *names = known.now;
        struct cause cause = { 0 };

        if (!names)
                return;
        if (local_names_resolve(names, "root", nobody, NULL, &cause) < 0) {
                scoped(scoped_free) char *text = text_of("cron's mail to root is refused: %s: %s", cause.text,
                                                         cause_remedy_of(&cause));
                advise(ctx, text);
        } else if (names->trouble) {
                advise(ctx, names->trouble);
        }
        if (!names->recipient)
                advise_lines(names, advise, ctx);
}
