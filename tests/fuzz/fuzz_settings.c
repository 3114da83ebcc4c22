/* SPDX-License-Identifier: MIT */
/* emailsecd.conf: read whole, or refused with a cause and nothing changed. */
#include "daemon/settings.h"
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct settings defaults;
        static int fd = -1;
        struct settings settings;
        struct cause cause = { 0 };

        if (fd < 0) {
                settings_defaults(&defaults);
                fd = memfd_create("settings", MFD_CLOEXEC);
        }
        fuzz_must(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
        scoped(scoped_free) char *path = text_of("/proc/self/fd/%d", fd);
        settings_copy(&settings, &defaults);
        if (settings_read(&settings, path, true, &cause) < 0)
                fuzz_must(cause.code != CAUSE_NONE && same_text(settings.hostname, defaults.hostname) &&
                          settings.max_sessions == defaults.max_sessions);
        settings_done(&settings);
        return 0;
}
