/* SPDX-License-Identifier: MIT */
/*
 * Linked into every program of FLAVOUR=asan: from where LeakSanitizer follows pointers at the end. Left to
 * itself it reads the writable memory of every object, 12 MB of which are the sanitizers' own tables, which
 * hold no pointer of ours and most of which nobody touched: 2,500 page faults, a third of what a run of the
 * tool costs. Told here are all the others, which is where a program of ours, or a library, can keep a
 * pointer. Stacks, registers and what belongs to threads are read as ever.
 */
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <sanitizer/lsan_interface.h>

const char *__lsan_default_options(void);

const char *__lsan_default_options(void)
{
        return "use_globals=0";
}

static bool of_sanitizer(const char *path)
{
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        return strncmp(name, "libasan.so", 10) == 0 || strncmp(name, "libubsan.so", 11) == 0;
}

static int tell(struct dl_phdr_info *object, size_t size, void *ctx)
{
        (void)size;
        (void)ctx;
        if (of_sanitizer(object->dlpi_name))
                return 0;
        for (size_t i = 0; i < object->dlpi_phnum; i++) {
                const ElfW(Phdr) *part = &object->dlpi_phdr[i];
                uintptr_t begin = object->dlpi_addr + part->p_vaddr;
                if (part->p_type == PT_LOAD && (part->p_flags & PF_W) != 0)
                        __lsan_register_root_region((void *)begin, part->p_memsz);
        }
        return 0;
}

/* The scan is the last there is of a process, so this is ahead of it, and what was loaded meanwhile is there.
 */
__attribute__((destructor)) static void tell_all(void)
{
        dl_iterate_phdr(tell, NULL);
}
