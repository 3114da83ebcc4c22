/* SPDX-License-Identifier: MIT */
/*
 * The disk of the simulated machine: files in pages, folders, and what a power cut leaves of them. A page
 * written since the last sync of its file has a copy of what the disk holds (`undo`); a change of folders is
 * in the journal until the folder is synced. A cut takes back, by chance, what was not synced: pages singly
 * and torn, changes of folders from the end. A sync that fails loses its pages, as Linux does: a later one
 * that succeeds does not write them.
 */
#include "tests/simulator/kernel.h"

enum {
        JOURNAL_MOST = 4096,
        COMMIT_MS = 5 * SECOND_MS /* as file systems do */,
        SECTOR = 512,
        MOVE_EXCHANGE = 1
};

enum change_kind { CHANGE_ADD, CHANGE_REMOVE, CHANGE_MOVE, CHANGE_EXCHANGE };
struct change {
        int64_t when; /* ms */
        enum change_kind kind;
        bool synced;
        struct inode *folder, *to_folder, *inode, *other;
        char *name, *to_name;
};

static struct {
        struct inode *root;
        uint64_t inodes;
        int64_t pages, room; /* room: so many pages may there be; -1: any */
        struct change journal[JOURNAL_MOST];
        size_t changes;
        struct inode **dirty;
        size_t dirty_count, dirty_room;
        struct inode *open[FD_MOST]; /* by descriptors of the life */
        size_t open_count;
        bool errors, fills, parts; /* features */
        int64_t bad_until;         /* ms: until then calls fail at times */
        int64_t calls_to_error;    /* until one that fails; 0: none */
        int64_t ill_at;            /* ms: a call failed, or the disk was full, for the last time; -1: never */
} *me;

static uint8_t no_page[PAGE_SIZE_];   /* the undo of a page that the disk has not */
static uint8_t zero_page[PAGE_SIZE_]; /* a page that was reserved and never written: shared by all */

static void page_free(uint8_t *page)
{
        if (page != zero_page)
                world_free(page);
}

/* A page whose sync failed: its low bit is set in `undo`. */
static uint8_t *undo_of(uint8_t *tagged)
{
        return (uint8_t *)((uintptr_t)tagged & ~(uintptr_t)1);
}

static bool is_lost(const uint8_t *tagged)
{
        return (uintptr_t)tagged & 1;
}

struct timespec disk_time(void)
{
        int64_t us = shared->now_us + (shared->wall_start + shared->clock_error) * 1000000;

        return (struct timespec){ .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
}

/* ---- inodes ---- */

struct inode *inode_new(mode_t mode)
{
        struct inode *inode = world_alloc(sizeof *inode);

        inode->number = ++me->inodes + 100;
        inode->mode = mode;
        inode->uid = inode->gid = 990;
        inode->changed = inode->modified = disk_time();
        return inode;
}

static void undo_free(uint8_t **undo)
{
        uint8_t *old = undo_of(*undo);

        if (old && old != no_page)
                world_free(old);
        *undo = NULL;
}

static void forget_dirty(struct inode *inode)
{
        for (size_t i = 0; inode->dirty && i < me->dirty_count; i++)
                if (me->dirty[i] == inode) {
                        me->dirty[i] = me->dirty[--me->dirty_count];
                        break;
                }
        inode->dirty = false;
}

void inode_release(struct inode *inode)
{
        if (inode->links || inode->opens || inode->kept || inode == me->root)
                return;
        forget_dirty(inode);
        for (size_t i = 0; i < inode->page_count; i++) {
                me->pages -= inode->pages[i] != NULL;
                page_free(inode->pages[i]);
                undo_free(&inode->undo[i]);
        }
        world_free(inode->pages);
        world_free(inode->undo);
        for (size_t i = 0; i < inode->entry_count; i++)
                world_free(inode->entries[i].name);
        world_free(inode->entries);
        world_free(inode);
}

void inode_opened(struct inode *inode)
{
        inode->opens++;
        me->open[me->open_count++] = inode;
}

void inode_closed(struct inode *inode)
{
        for (size_t i = 0; i < me->open_count; i++)
                if (me->open[i] == inode) {
                        me->open[i] = me->open[--me->open_count];
                        break;
                }
        inode->opens--;
        inode_release(inode);
}

void disk_life_over(void)
{
        while (me->open_count)
                inode_closed(me->open[0]);
}

static void make_pages(struct inode *inode, size_t count)
{
        if (count <= inode->page_count)
                return;
        size_t room = inode->page_count ? inode->page_count : 1;
        while (room < count)
                room *= 2;
        uint8_t **pages = world_alloc(room * sizeof *pages), **undo = world_alloc(room * sizeof *undo);
        if (inode->page_count) {
                memcpy(pages, inode->pages, inode->page_count * sizeof *pages);
                memcpy(undo, inode->undo, inode->page_count * sizeof *undo);
        }
        world_free(inode->pages);
        world_free(inode->undo);
        inode->pages = pages;
        inode->undo = undo;
        inode->page_count = room;
}

static void mark_dirty(struct inode *inode)
{
        if (inode->dirty)
                return;
        inode->dirty = true;
        if (me->dirty_count == me->dirty_room) {
                me->dirty_room = me->dirty_room ? 2 * me->dirty_room : 64;
                me->dirty = world_realloc(me->dirty, me->dirty_room * sizeof(struct inode *));
        }
        me->dirty[me->dirty_count++] = inode;
}

/* Before a page changes. */
static void keep_undo(struct inode *inode, size_t page)
{
        mark_dirty(inode);
        if (inode->undo[page])
                inode->undo[page] = undo_of(inode->undo[page]); /* written again: a sync will write it */
        else
                inode->undo[page] = inode->pages[page] ? world_copy(inode->pages[page], PAGE_SIZE_) : no_page;
}

ssize_t inode_read(struct inode *inode, void *bytes, size_t len, int64_t at)
{
        if (at >= inode->size)
                return 0;
        if ((int64_t)len > inode->size - at)
                len = (size_t)(inode->size - at);
        for (size_t done = 0; done < len;) {
                size_t page = (size_t)(at + (int64_t)done) / PAGE_SIZE_,
                       from = (size_t)(at + (int64_t)done) % PAGE_SIZE_;
                size_t here = PAGE_SIZE_ - from < len - done ? PAGE_SIZE_ - from : len - done;
                if (page < inode->page_count && inode->pages[page])
                        memcpy((uint8_t *)bytes + done, inode->pages[page] + from, here);
                else
                        memset((uint8_t *)bytes + done, 0, here);
                done += here;
        }
        return (ssize_t)len;
}

static bool give_page(struct inode *inode, size_t page)
{
        if (inode->pages[page] == zero_page) {
                inode->pages[page] = world_alloc(PAGE_SIZE_);
                return true;
        }
        if (inode->pages[page])
                return true;
        if (me->room >= 0 && me->pages >= me->room)
                return false;
        inode->pages[page] = world_alloc(PAGE_SIZE_);
        me->pages++;
        return true;
}

static void set_size(struct inode *inode, int64_t size)
{
        if (inode->size == size)
                return;
        if (!inode->size_dirty) {
                inode->size_dirty = true;
                inode->synced_size = inode->size;
                mark_dirty(inode);
        }
        inode->size = size;
}

ssize_t inode_write(struct inode *inode, const void *bytes, size_t len, int64_t at)
{
        size_t done = 0;

        make_pages(inode, (size_t)(at + (int64_t)len + PAGE_SIZE_ - 1) / PAGE_SIZE_);
        while (done < len) {
                size_t page = (size_t)(at + (int64_t)done) / PAGE_SIZE_,
                       from = (size_t)(at + (int64_t)done) % PAGE_SIZE_;
                size_t here = PAGE_SIZE_ - from < len - done ? PAGE_SIZE_ - from : len - done;
                keep_undo(inode, page);
                if (!give_page(inode, page))
                        break;
                memcpy(inode->pages[page] + from, (const uint8_t *)bytes + done, here);
                done += here;
        }
        if (done == 0 && len) {
                errno = ENOSPC;
                return -1;
        }
        if (at + (int64_t)done > inode->size)
                set_size(inode, at + (int64_t)done);
        inode->modified = inode->changed = disk_time();
        return (ssize_t)done;
}

/* All of it, or nothing. */
bool inode_reserve(struct inode *inode, int64_t size)
{
        size_t count = (size_t)(size + PAGE_SIZE_ - 1) / PAGE_SIZE_;
        int64_t missing = 0;

        make_pages(inode, count);
        for (size_t i = 0; i < count; i++)
                missing += !inode->pages[i];
        if (me->room >= 0 && me->pages + missing > me->room)
                return false;
        for (size_t i = 0; i < count; i++)
                if (!inode->pages[i])
                        inode->pages[i] = zero_page;
        me->pages += missing;
        if (size > inode->size)
                set_size(inode, size);
        return true;
}

int inode_resize(struct inode *inode, int64_t size)
{
        size_t first = (size_t)(size + PAGE_SIZE_ - 1) / PAGE_SIZE_;

        if (size < inode->size && size % PAGE_SIZE_ && inode->page_count && inode->pages[size / PAGE_SIZE_]) {
                keep_undo(inode, (size_t)(size / PAGE_SIZE_));
                memset(inode->pages[size / PAGE_SIZE_] + size % PAGE_SIZE_, 0,
                       (size_t)(PAGE_SIZE_ - size % PAGE_SIZE_));
        }
        for (size_t i = first; i < inode->page_count; i++) {
                if (!inode->pages[i])
                        continue;
                keep_undo(inode, i);
                page_free(inode->pages[i]);
                inode->pages[i] = NULL;
                me->pages--;
        }
        set_size(inode, size);
        inode->modified = inode->changed = disk_time();
        return 0;
}

static void all_synced(struct inode *inode)
{
        bool lost = false;

        for (size_t i = 0; i < inode->page_count; i++) {
                if (is_lost(inode->undo[i]))
                        lost = true;
                else
                        undo_free(&inode->undo[i]);
        }
        inode->size_dirty = false;
        if (!lost)
                forget_dirty(inode);
}

static void sync_folder(const struct inode *folder);
static void all_folders_synced(void);

int inode_sync(struct inode *inode)
{
        if (S_ISDIR(inode->mode))
                sync_folder(inode);
        if (inode->dirty)
                all_synced(inode);
        return 0;
}

/* Of all files and folders: 0 or an error, which some of them may have had. */
int inodes_sync(void)
{
        int error = 0;

        for (size_t i = me->dirty_count; i--;) { /* whoever leaves the list has the last one take its place */
                struct inode *inode = me->dirty[i];
                int trouble = disk_trouble("sync", inode);
                if (trouble)
                        error = trouble;
                else
                        all_synced(inode);
        }
        if (!error)
                all_folders_synced();
        return error;
}

/* ---- folders ---- */

static uint32_t hash_name(const char *name, size_t len)
{
        uint32_t hash = 2166136261U;

        for (size_t i = 0; i < len; i++)
                hash = (hash ^ (uint8_t)name[i]) * 16777619U;
        return hash;
}

static struct entry *entry_of(const struct inode *folder, const char *name, size_t len)
{
        uint32_t hash = hash_name(name, len);

        for (size_t i = 0; i < folder->entry_count; i++) {
                struct entry *entry = &folder->entries[i];
                if (entry->hash == hash && strncmp(entry->name, name, len) == 0 && !entry->name[len])
                        return entry;
        }
        return NULL;
}

struct inode *folder_find(const struct inode *folder, const char *name, size_t len)
{
        const struct entry *entry = entry_of(folder, name, len);

        return entry ? entry->inode : NULL;
}

static void put_entry(struct inode *folder, const char *name, struct inode *inode)
{
        if (folder->entry_count == folder->entry_room) {
                folder->entry_room = folder->entry_room ? 2 * folder->entry_room : 8;
                folder->entries = world_realloc(folder->entries, folder->entry_room * sizeof(struct entry));
        }
        folder->entries[folder->entry_count++] = (struct entry){ .hash = hash_name(name, strlen(name)),
                                                                 .name = world_text("%s", name),
                                                                 .inode = inode };
        inode->links++;
        if (S_ISDIR(inode->mode))
                inode->parent = folder;
        folder->modified = folder->changed = inode->changed = disk_time();
}

static void take_entry(struct inode *folder, const char *name)
{
        struct entry *entry = entry_of(folder, name, strlen(name));
        size_t at = (size_t)(entry - folder->entries);

        entry->inode->links--;
        entry->inode->changed = disk_time();
        world_free(entry->name);
        memmove(entry, entry + 1, (--folder->entry_count - at) * sizeof *entry);
        folder->modified = folder->changed = disk_time();
}

static void change_free(struct change *change)
{
        struct inode *all[] = { change->folder, change->to_folder, change->inode, change->other };

        world_free(change->name);
        world_free(change->to_name);
        for (size_t i = 0; i < lengthof(all); i++)
                if (all[i]) {
                        all[i]->kept--;
                        inode_release(all[i]);
                }
}

static void record(struct change change)
{
        struct inode *all[] = { change.folder, change.to_folder, change.inode, change.other };

        for (size_t i = 0; i < lengthof(all); i++)
                if (all[i])
                        all[i]->kept++;
        change.name = change.name ? world_text("%s", change.name) : NULL;
        change.to_name = change.to_name ? world_text("%s", change.to_name) : NULL;
        size_t come = me->changes == JOURNAL_MOST ? JOURNAL_MOST / 4 : 0; /* to the disk by themselves */
        while (come < me->changes && me->journal[come].when + COMMIT_MS < world_now())
                come++;
        for (size_t i = 0; i < come; i++)
                change_free(&me->journal[i]);
        me->changes -= come;
        memmove(me->journal, me->journal + come, me->changes * sizeof change);
        change.when = world_now();
        me->journal[me->changes++] = change;
}

static void sync_folder(const struct inode *folder)
{
        size_t kept = 0;

        for (size_t i = 0; i < me->changes; i++) {
                struct change *change = &me->journal[i];
                if (change->folder == folder || change->to_folder == folder)
                        change_free(change);
                else
                        me->journal[kept++] = *change;
        }
        me->changes = kept;
}

static void all_folders_synced(void)
{
        for (size_t i = 0; i < me->changes; i++)
                change_free(&me->journal[i]);
        me->changes = 0;
}

int folder_add(struct inode *folder, const char *name, struct inode *inode)
{
        put_entry(folder, name, inode);
        record((struct change){
                .kind = CHANGE_ADD, .folder = folder, .inode = inode, .name = (char *)(uintptr_t)name });
        return 0;
}

int folder_remove(struct inode *folder, const char *name)
{
        struct inode *inode = folder_find(folder, name, strlen(name));

        record((struct change){
                .kind = CHANGE_REMOVE, .folder = folder, .inode = inode, .name = (char *)(uintptr_t)name });
        take_entry(folder, name);
        inode_release(inode);
        return 0;
}

int folder_move(struct inode *from, const char *old, struct inode *to, const char *name, bool exchange)
{
        struct inode *inode = folder_find(from, old, strlen(old)),
                     *other = folder_find(to, name, strlen(name));

        if (inode == other)
                return 0;
        record((struct change){ .kind = exchange ? CHANGE_EXCHANGE : CHANGE_MOVE,
                                .folder = from,
                                .to_folder = to,
                                .inode = inode,
                                .other = other,
                                .name = (char *)(uintptr_t)old,
                                .to_name = (char *)(uintptr_t)name });
        if (other)
                take_entry(to, name);
        take_entry(from, old);
        put_entry(to, name, inode);
        if (exchange)
                put_entry(from, old, other);
        else if (other)
                inode_release(other);
        return 0;
}

/* ---- power ---- */

static bool has(const struct inode *folder, const char *name, const struct inode *inode)
{
        return folder_find(folder, name, strlen(name)) == inode;
}

static void take_back(const struct change *change)
{
        switch (change->kind) {
        case CHANGE_ADD:
                if (has(change->folder, change->name, change->inode))
                        take_entry(change->folder, change->name);
                break;
        case CHANGE_REMOVE:
                if (has(change->folder, change->name, NULL))
                        put_entry(change->folder, change->name, change->inode);
                break;
        case CHANGE_EXCHANGE:
                if (!has(change->folder, change->name, change->other))
                        break;
                take_entry(change->folder, change->name);
                /* fall through */
        case CHANGE_MOVE:
                if (!has(change->to_folder, change->to_name, change->inode))
                        break;
                take_entry(change->to_folder, change->to_name);
                if (change->other)
                        put_entry(change->to_folder, change->to_name, change->other);
                if (has(change->folder, change->name, NULL))
                        put_entry(change->folder, change->name, change->inode);
                break;
        }
}

static void page_back(struct inode *inode, size_t page)
{
        const uint8_t *old = undo_of(inode->undo[page]);

        if (!inode->pages[page] || inode->pages[page] == zero_page) {
                me->pages += !inode->pages[page];
                inode->pages[page] = world_alloc(PAGE_SIZE_);
        }
        for (size_t at = 0; at < PAGE_SIZE_; at += SECTOR)
                if (is_lost(inode->undo[page]) || chance_permille("power", 700))
                        memcpy(inode->pages[page] + at, old + at, SECTOR);
}

/* By thirds: nothing of what was not synced came to the disk, all of it, or some. */
static void data_back(struct inode *inode)
{
        int64_t how = chance_between("power", 0, 2);

        for (size_t i = 0; i < inode->page_count; i++)
                if (inode->undo[i] &&
                    (how == 0 || is_lost(inode->undo[i]) || (how == 2 && chance_permille("power", 500)))) {
                        if (how == 0)
                                inode->undo[i] = (uint8_t *)((uintptr_t)inode->undo[i] | 1);
                        page_back(inode, i);
                }
        for (size_t i = 0; i < inode->page_count; i++)
                undo_free(&inode->undo[i]);
        if (inode->size_dirty && (how == 0 || (how == 2 && chance_permille("power", 500))))
                inode->size = inode->synced_size;
        inode->size_dirty = false;
}

void disk_power_cut(void)
{
        size_t keep = (size_t)chance_between("power", 0, (int64_t)me->changes);
        size_t lost = me->changes - keep, files = me->dirty_count;

        while (me->changes > keep)
                take_back(&me->journal[--me->changes]);
        while (me->dirty_count) {
                struct inode *inode = me->dirty[0];
                data_back(inode);
                forget_dirty(inode);
        }
        for (size_t i = 0; i < keep + lost; i++)
                change_free(&me->journal[i]);
        me->changes = 0;
        history("disk", "the power failed: %zu changes of folders taken back, %zu kept; %zu files not synced",
                lost, keep, files);
}

/* ---- faults ---- */

int64_t disk_left(void)
{
        return me->room < 0 ? (int64_t)1 << 22 : me->room > me->pages ? me->room - me->pages : 0;
}

int64_t disk_ill_at(void)
{
        return me->room >= 0 ? world_now() : me->ill_at;
}

void disk_room(int64_t bytes)
{
        me->ill_at = disk_ill_at();
        me->room = bytes < 0 ? -1 : me->pages + bytes / PAGE_SIZE_;
        if (bytes < 0)
                history("disk", "has room again");
        else
                history("disk", "has room for %lld bytes", (long long)bytes);
}

static void end_of_full(void *ctx)
{
        (void)ctx;
        disk_room(-1);
}

static void next_trouble(void *ctx)
{
        (void)ctx;
        if (shared->honest)
                return;
        if (me->fills && me->room < 0 && chance_permille("disk", 500)) {
                disk_room(chance_between("disk", 0, 300) * 1024);
                (void)world_in(chance_about("disk", 10 * MINUTE_MS), end_of_full, NULL);
        } else if (me->errors) {
                me->bad_until = world_now() + chance_about("disk", MINUTE_MS);
                history("disk", "fails at times for %lld ms", (long long)(me->bad_until - world_now()));
        }
        (void)world_in(chance_about("disk", 12 * HOUR_MS), next_trouble, NULL);
}

void disk_faults_open(void)
{
        me->errors = feature("disk.errors", 25);
        me->fills = feature("disk.full", 40);
        me->parts = feature("disk.part", 30);
        if (me->errors || me->fills)
                (void)world_in(chance_about("disk", 6 * HOUR_MS), next_trouble, NULL);
}

void disk_fail_once(int64_t calls)
{
        if (me->errors)
                me->calls_to_error = calls + 1;
}

/* Whether this call is the one. */
static bool fails_once(void)
{
        return me->calls_to_error && --me->calls_to_error == 0;
}

int disk_trouble(const char *call, const struct inode *inode)
{
        if (!in_daemon || shared->honest ||
            (!fails_once() && (world_now() >= me->bad_until || !chance_permille("disk", 30))))
                return 0;
        me->ill_at = world_now();
        history("disk", "%s fails (inode %llu)", call, (unsigned long long)inode->number);
        if (strcmp(call, "sync") == 0)
                for (size_t i = 0; i < inode->page_count; i++)
                        if (inode->undo[i])
                                inode->undo[i] = (uint8_t *)((uintptr_t)inode->undo[i] | 1);
        return EIO;
}

/* A write may take less than it was given. */
size_t disk_part(size_t len)
{
        if (!me->parts || !in_daemon || shared->honest || len < 2 || !chance_permille("disk", 20))
                return len;
        return (size_t)chance_between("disk", 1, (int64_t)len - 1);
}

struct inode *disk_root(void)
{
        return me->root;
}

void disk_open(void)
{
        me = world_alloc(sizeof *me);
        me->room = me->ill_at = -1;
        me->root = inode_new(S_IFDIR | 0755);
        me->root->parent = me->root;
}
