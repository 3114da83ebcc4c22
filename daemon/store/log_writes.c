/* SPDX-License-Identifier: MIT */
/* The log's file between SQLite and the system's own VFS; see log_writes.h. */
#include "daemon/store/log_writes.h"

#include "common/cleanup.h"
#include "common/limits.h"

#include <pthread.h>

enum { HELD_MOST = 64 * KIB };

struct log_file {
        sqlite3_file base;  /* first: SQLite knows it by this */
        sqlite3_file *real; /* behind it in memory */
        uint8_t *bytes;     /* NULL: nothing was held yet */
        sqlite3_int64 at;   /* where they belong */
        int held;
};

static struct log_file *log_file(sqlite3_file *file)
{
        return (struct log_file *)(void *)file;
}

/* What could not be written is gone: SQLite takes the transaction back. */
static int flush(struct log_file *log)
{
        int held = log->held;

        log->held = 0;
        return held ? log->real->pMethods->xWrite(log->real, log->bytes, held, log->at) : SQLITE_OK;
}

static int log_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
        struct log_file *log = log_file(file);
        bool fits = log->held == 0 || (at == log->at + log->held && len <= HELD_MOST - log->held);
        int result = fits ? SQLITE_OK : flush(log);

        if (result != SQLITE_OK)
                return result;
        if (len > HELD_MOST)
                return log->real->pMethods->xWrite(log->real, bytes, len, at);
        if (!log->bytes)
                log->bytes = new_memory(HELD_MOST);
        if (log->held == 0)
                log->at = at;
        memcpy(log->bytes + log->held, bytes, (size_t)len);
        log->held += len;
        return SQLITE_OK;
}

static int log_read(sqlite3_file *file, void *bytes, int len, sqlite3_int64 at)
{
        struct log_file *log = log_file(file);
        int result = flush(log);

        return result == SQLITE_OK ? log->real->pMethods->xRead(log->real, bytes, len, at) : result;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
        struct log_file *log = log_file(file);
        int result = flush(log);

        return result == SQLITE_OK ? log->real->pMethods->xTruncate(log->real, size) : result;
}

static int log_sync(sqlite3_file *file, int flags)
{
        struct log_file *log = log_file(file);
        int result = flush(log);

        return result == SQLITE_OK ? log->real->pMethods->xSync(log->real, flags) : result;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *size)
{
        struct log_file *log = log_file(file);
        int result = flush(log);

        return result == SQLITE_OK ? log->real->pMethods->xFileSize(log->real, size) : result;
}

static int log_close(sqlite3_file *file)
{
        struct log_file *log = log_file(file);
        int flushed = flush(log), closed = log->real->pMethods->xClose(log->real);

        free(take(log->bytes));
        return flushed != SQLITE_OK ? flushed : closed;
}

static int log_lock(sqlite3_file *file, int how)
{
        sqlite3_file *real = log_file(file)->real;

        return real->pMethods->xLock(real, how);
}

static int log_unlock(sqlite3_file *file, int how)
{
        sqlite3_file *real = log_file(file)->real;

        return real->pMethods->xUnlock(real, how);
}

static int log_is_locked(sqlite3_file *file, int *locked)
{
        sqlite3_file *real = log_file(file)->real;

        return real->pMethods->xCheckReservedLock(real, locked);
}

static int log_control(sqlite3_file *file, int what, void *of)
{
        sqlite3_file *real = log_file(file)->real;

        return real->pMethods->xFileControl(real, what, of);
}

static int log_sector(sqlite3_file *file)
{
        sqlite3_file *real = log_file(file)->real;

        return real->pMethods->xSectorSize(real);
}

static int log_device(sqlite3_file *file)
{
        sqlite3_file *real = log_file(file)->real;

        return real->pMethods->xDeviceCharacteristics(real);
}

static const sqlite3_io_methods methods = {
        .iVersion = 1,
        .xClose = log_close,
        .xRead = log_read,
        .xWrite = log_write,
        .xTruncate = log_truncate,
        .xSync = log_sync,
        .xFileSize = log_size,
        .xLock = log_lock,
        .xUnlock = log_unlock,
        .xCheckReservedLock = log_is_locked,
        .xFileControl = log_control,
        .xSectorSize = log_sector,
        .xDeviceCharacteristics = log_device,
};

/* All other files are the real VFS's own. */
static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *got)
{
        sqlite3_vfs *real = vfs->pAppData;
        struct log_file *log = log_file(file);

        if (!(flags & SQLITE_OPEN_WAL))
                return real->xOpen(real, name, file, flags, got);
        *log = (struct log_file){ .real = (sqlite3_file *)(void *)(log + 1) };
        log->real->pMethods = NULL;
        int result = real->xOpen(real, name, log->real, flags, got);
        log->base.pMethods = log->real->pMethods ? &methods : NULL; /* then it is to be closed */
        return result;
}

static sqlite3_vfs own;

static void make(void)
{
        sqlite3_vfs *real = sqlite3_vfs_find(NULL);

        if (!real)
                return;
        own = *real;
        own.zName = "emailsec-log";
        own.pNext = NULL;
        own.pAppData = real;
        own.szOsFile = (int)sizeof(struct log_file) + real->szOsFile;
        own.xOpen = open_file;
        (void)sqlite3_vfs_register(&own, 0);
}

const char *log_writes_vfs(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void)pthread_once(&once, make);
        return own.zName;
}
