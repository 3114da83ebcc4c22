/* SPDX-License-Identifier: MIT */
/* Feeds each file of the folders named to the fuzz target it is linked with: the corpus as a test. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static void replay(const char *path)
{
        struct stat st;
        FILE *file = fopen(path, "re");

        fuzz_must(file && fstat(fileno(file), &st) == 0);
        size_t size = (size_t)st.st_size;
        uint8_t *bytes = malloc(size ? size : 1); /* of exactly this size: reading beyond it is seen */
        fuzz_must(bytes && fread(bytes, 1, size, file) == size);
        (void)fclose(file);
        (void)LLVMFuzzerTestOneInput(bytes, size);
        free(bytes);
}

static unsigned replay_folder(const char *folder)
{
        DIR *listing = opendir(folder);
        unsigned count = 0;

        fuzz_must(listing);
        for (struct dirent *entry; (entry = readdir(listing));) {
                if (entry->d_name[0] == '.')
                        continue;
                char *path = text_of("%s/%s", folder, entry->d_name);
                replay(path);
                free(path);
                count++;
        }
        (void)closedir(listing);
        return count;
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                unsigned count = replay_folder(argv[i]);
                printf("ok   %s: %u inputs\n", argv[i], count);
                fuzz_must(count);
        }
        return EXIT_SUCCESS;
}
