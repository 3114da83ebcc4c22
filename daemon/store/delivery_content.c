/* SPDX-License-Identifier: MIT */
/*
 * A message that has come, looked for by its content among those that are known: by its tag, and where there
 * may be rows of an earlier version by SHA-256 as well, for which its file, still in tmp/, is read again.
 */
#include "daemon/sha256.h"
#include "daemon/store/delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Of the message as it came; of a note its header alone, as its tag is. */
static int sha256_again(const struct arrival *arrival, const struct item *item, uint8_t digest[SHA256_SIZE],
                        struct cause *cause)
{
        uint8_t memory[32 * KIB], longer[2 * sizeof memory], *whole = memory;
        scoped(scoped_close) int fd =
                openat(arrival->maildir.tmp, item->temporary, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        scoped(sha256_free) EVP_MD_CTX *hash = NULL;
        scoped(buf_free) struct buf head = BUF_WITH_MAX(HEADER_SUMMARY_READ);
        ssize_t got = -1;

        sha256_begin(&hash);
        while (fd >= 0 && (got = read(fd, memory, sizeof memory)) > 0) {
                size_t len = (size_t)got;
                if (item->line_ends == LINE_ENDS_LF) {
                        len = line_ends_lengthen(memory, len, longer);
                        whole = longer;
                }
                sha256_add(hash, whole, len);
                if (buf_append(&head, whole, len < head.max - head.len ? len : head.max - head.len) < 0)
                        abort(); /* within its bound: as new_object */
        }
        if (got < 0)
                return cause_errno(cause, errno, "cannot read a received message");
        sha256_end(hash, digest);
        if (item->entry.left)
                sha256_of(buf_bytes(&head), delivery_note_head(&head), digest);
        return 0;
}

int delivery_content_find(const struct arrival *arrival, const struct item *item,
                          const struct fetched_key *key, fetched_finder *find, struct database *db,
                          char **file, struct cause *cause)
{
        uint8_t digest[SHA256_SIZE];
        int found = find(db, key, seen_tag(item->tag), file, cause);
        int old = found ? 0 : fetched_has_sha256(db, key, cause);

        if (found || old <= 0)
                return found ? found : old;
        if (sha256_again(arrival, item, digest, cause) < 0)
                return -1;
        return find(db, key, seen_sha256(digest), file, cause);
}
