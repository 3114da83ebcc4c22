/* SPDX-License-Identifier: MIT */
/*
 * simulate: one history from one seed. Exit status 0: nothing happened that may not; 1: something did.
 *   simulate --seed N [--hours H] [--log] [--without FEATURE]...
 * simulate.py runs many of them.
 */
#include "tests/simulator/kernel.h"

#include <getopt.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { FAILED = 1, USAGE = 64, HOURS = 200, MAY_START = 3650 };

static struct {
        uint64_t seed;
        int64_t hours;
        bool log, features;
        const char *without[64];
        size_t without_count;
} options = { .hours = HOURS };

/* The program anew, with the same addresses in each run: a table that hashes pointers has the same order. */
static void begin_anew(char **argv)
{
        int now = personality(0xffffffff);

        if (now < 0 || now & ADDR_NO_RANDOMIZE || personality((unsigned long)now | ADDR_NO_RANDOMIZE) < 0)
                return;
        (void)execv("/proc/self/exe", argv);
}

static int read_options(int argc, char **argv)
{
        static const struct option known[] = {
                { "seed", required_argument, NULL, 's' },    { "hours", required_argument, NULL, 'h' },
                { "log", no_argument, NULL, 'l' },           { "features", no_argument, NULL, 'f' },
                { "without", required_argument, NULL, 'w' }, { NULL, 0, NULL, 0 }
        };

        for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
                if (option == 's')
                        options.seed = strtoull(optarg, NULL, 10);
                else if (option == 'h')
                        options.hours = strtoll(optarg, NULL, 10);
                else if (option == 'l')
                        options.log = true;
                else if (option == 'f')
                        options.features = true;
                else if (option == 'w' && options.without_count < lengthof(options.without))
                        options.without[options.without_count++] = optarg;
                else
                        return -1;
        }
        return 0;
}

static void build(void)
{
        arena_open();
        shared = world_alloc(sizeof *shared);
        shared->seed = options.seed;
        shared->verbose = options.log;
        shared->length_ms = options.hours * HOUR_MS;
        history_begin();
        chance_open(options.seed);
        for (size_t i = 0; i < options.without_count; i++)
                feature_off(options.without[i]);
        shared->wall_start = INT64_C(1798761600) + chance_between("machine", 0, (int64_t)MAY_START * 86400);
        schedule_open();
        disk_open();
        names_open();
        network_open();
        clients_open();
        randomness_open();
        machine_init();
        disk_faults_open();
        disk_put("/proc/self/mountinfo", "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n", 36);
        disk_put("/run/emailsecd/.keep", "", 0);
        disk_put(SIM_STATE "/.keep", "", 0);
        disk_remove("/run/emailsecd/.keep");
        disk_remove(SIM_STATE "/.keep");
        world_build();
}

/* False: the history is over. */
static bool live(void)
{
        int status = 0;

        history_flush();
        pid_t child = fork();
        if (child == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                machine_run_life();
        }
        if (child < 0 || waitpid(child, &status, 0) < 0)
                abort();
        if (status != 0) {
                shared->failed = true;
                if (WIFSIGNALED(status))
                        (void)snprintf(shared->failure, sizeof shared->failure,
                                       "crash: life %u ended by signal %d (%s)", shared->life,
                                       WTERMSIG(status), strsignal(WTERMSIG(status)));
                else
                        (void)snprintf(shared->failure, sizeof shared->failure,
                                       "crash: life %u ended with status %d", shared->life,
                                       WEXITSTATUS(status));
                history("VIOLATED", "%s", shared->failure);
        }
        history_flush();
        return !shared->failed && shared->how != LIFE_LAST;
}

static void print_feature(void *ctx, const char *name, bool on)
{
        (void)ctx;
        printf("feature %s %s\n", name, on ? "on" : "off");
}

int main(int argc, char **argv)
{
        begin_anew(argv);
        if (read_options(argc, argv) < 0) {
                fprintf(stderr,
                        "simulate --seed N [--hours H] [--log] [--features] [--without FEATURE]...\n");
                return USAGE;
        }
        (void)setenv("TZ", "UTC", 1);
        (void)setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
        (void)setenv("WATCHDOG_USEC", "60000000", 1);
        build();
        while (live())
                ;
        struct rusage used;
        (void)getrusage(RUSAGE_CHILDREN, &used);
        if (options.features)
                features_each(print_feature, NULL);
        printf("seed %llu: %s; %.1f simulated hours, %u lives, %lld turns, %llu lines, %.1f s of the "
               "processor, hash %016llx\n",
               (unsigned long long)options.seed, shared->failed ? shared->failure : "well",
               (double)shared->now_us / 3.6e9, shared->life, (long long)shared->turns,
               (unsigned long long)shared->lines,
               (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6 +
                       (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec / 1e6,
               (unsigned long long)shared->hash);
        return shared->failed ? FAILED : 0;
}
