/* SPDX-License-Identifier: MIT */
/* Members of an archive that is to be restored: a block and the records of a pax header behind it, and what
 * may be a name. */
#include "common/tar.c"
#include "daemon/store/unpack.c"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct tar_member member;
        struct cause cause = { 0 };
        struct ustar header;

        if (size < TAR_BLOCK)
                return 0;
        memcpy(&header, data, sizeof header);
        enum tar_kind kind = tar_read(data, &member, &cause);
        put_octal(header.sum, 7, sum_of(&header)); /* what is behind the sum is looked at too */
        if (kind == TAR_BAD)
                kind = tar_read((const uint8_t *)&header, &member, &cause);
        if (kind == TAR_BAD || kind == TAR_END)
                return 0;
        if (tar_pax((const char *)data + TAR_BLOCK, size - TAR_BLOCK, &member, &cause) < 0)
                return 0;
        fuzz_must(strlen(member.name) < sizeof member.name);
        if (name_is_plain(member.name)) {
                fuzz_must(member.name[0] != '/' && !strstr(member.name, "//") &&
                          !strstr(member.name, "/../"));
                fuzz_must(strncmp(member.name, "../", 3) != 0 && strcmp(member.name, "..") != 0 &&
                          member.name[0]);
        }
        return 0;
}
