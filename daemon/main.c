/* SPDX-License-Identifier: MIT */
/*
 * emailsecd: options, settings, reload, the order of start and end. What the daemon does is in service/, the
 * folders below it, and control/.
 */
#include "common/json_fields.h"
#include "daemon/control/listener.h"
#include "daemon/control/methods.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/memory.h"
#include "daemon/messages.h"
#include "daemon/netmon.h"
#include "daemon/service/audit_trail.h"
#include "daemon/service/restore.h"
#include "daemon/service/service.h"
#include "daemon/settings.h"
#include "daemon/smtpd/listener.h"
#include "daemon/smtpd/spool.h"
#include "daemon/store/store.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
        END_MS = 3500, /* sessions have this long to end in order; the whole end takes under 5 s */
        WAIT_MS = 1000 /* between looks for room to begin */
};

static struct {
        const char *config;
        bool config_named, check_only, restore, force;
        const char *assignments[64]; /* --set and the options that stand for one */
        size_t assignment_count;
        struct settings settings;
} me;

/* ---- settings ---- */

static int read_settings(struct settings *settings, struct cause *cause)
{
        settings_defaults(settings);
        if (settings_read(settings, me.config, me.config_named, cause) < 0)
                return -1;
        for (size_t i = 0; i < me.assignment_count; i++)
                if (settings_set(settings, me.assignments[i], cause) < 0)
                        return -1;
        return 0;
}

static const char *default_config(void)
{
        const char *folder = getenv("CONFIGURATION_DIRECTORY");

        return folder ? text_of("%.*s/emailsecd.conf", (int)strcspn(folder, ":"), folder)
                      : "/etc/emailsecd/emailsecd.conf";
}

/* ---- reload and end ---- */

static int reload(json_t *warnings, struct cause *cause)
{
        struct settings fresh;

        manager_tell_reloading();
        int result = read_settings(&fresh, cause);
        if (result < 0) {
                struct subject subject = { .cause = cause };
                log_about(&subject, LOG_ERR, MSG_RELOAD_REFUSED, "the old settings stay: %s", cause->text);
                settings_done(&fresh);
        } else {
                struct settings old = me.settings;
                /* where things lie does not change while they are open */
                free(fresh.state_directory);
                free(fresh.control_socket);
                fresh.state_directory = copy_text(old.state_directory);
                fresh.control_socket = copy_text(old.control_socket);
                me.settings = fresh;
                journal_open(fresh.log_level, fresh.log_target);
                permit_open(&me.settings);
                service_reload(&me.settings, warnings);
                smtpd_listener_reload(&me.settings);
                settings_done(&old);
        }
        manager_tell_ready();
        return result;
}

static struct {
        struct timer *timer;
        int64_t last; /* loop_now() of the last one; 0: none yet */
} hangup;
enum { HANGUP_MS = 1000 }; /* between reloads by signal: many of them are one */

static void reload_by_signal(void *ctx)
{
        struct cause cause = { 0 };

        (void)ctx;
        hangup.last = loop_now();
        if (reload(NULL, &cause) < 0)
                return; /* what is wrong with it was logged */
        audit_trail_record(&(struct actor){ .who = "a signal (SIGHUP)" },
                           &(struct trail){ .action = TRAIL_RELOADED,
                                            .object = "settings, credentials and system trust" });
}

static void on_hangup(void *ctx, int number)
{
        (void)ctx;
        (void)number;
        if (timer_is_set(hangup.timer))
                return;
        int64_t due = hangup.last ? hangup.last + HANGUP_MS - loop_now() : 0;
        timer_set(hangup.timer, due > 0 ? due : 0);
}

static unsigned ending; /* parts that have not ended yet */

static void part_ended(void)
{
        if (--ending == 0)
                loop_end();
}

static void ended(void *ctx)
{
        (void)ctx;
        part_ended();
}

static void on_end(void *ctx, int number)
{
        (void)ctx;
        if (service_ending())
                return;
        manager_tell_ending();
        log_about(NULL, LOG_INFO, MSG_ENDING, "ending (%s)", number == SIGTERM ? "SIGTERM" : "SIGINT");
        ending = 2;
        service_end(END_MS, ended, NULL); /* first: who listens is told of the end */
        listener_wind_down();
        smtpd_listener_wind_down(END_MS, part_ended);
}

static void watch_surroundings(void)
{
        static const struct netmon_user user = {
                .network = service_network_changed,
                .clock = service_clock_was_set,
                .woke = service_woke,
        };
        struct cause cause = { 0 };
        struct subject subject = { .cause = &cause };

        if (netmon_open(&user, &cause) < 0)
                log_about(&subject, LOG_WARNING, NULL, "%s; accounts are tried again by time alone",
                          cause.text);
}

/* ---- start ---- */

/* Who waits at a socket that was passed on is told as well: left waiting, each would have the service manager
 * start this again and again. */
static int refuse(const struct cause *cause, int status)
{
        manager_tell_refused(cause->text);
        listener_turn_away();
        smtpd_listener_turn_away();
        fprintf(stderr, "%semailsecd: %s\n", getenv("JOURNAL_STREAM") ? "<3>" : "", cause->text);
        fprintf(stderr, "%s  what to do: %s\n", getenv("JOURNAL_STREAM") ? "<3>" : "",
                cause_remedy_of(cause));
        return status;
}

static void harden(void)
{
        struct rlimit files;

        (void)umask(027); /* received mail is a group's to read; all else is made with a mode that says so */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core dump holds a password (rule 19) */
        memory_open();
        (void)signal(SIGPIPE, SIG_IGN);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
}

/* What root made in the folder of another user, that user could not use afterwards. */
static int check_user(const char *directory, struct cause *cause)
{
        struct stat there;

        if (geteuid() != 0 || stat(directory, &there) < 0 || there.st_uid == 0)
                return 0;
        const struct passwd *owner = getpwuid(there.st_uid);
        scoped(scoped_free) char *name =
                owner ? copy_text(owner->pw_name) : text_of("#%u", (unsigned)there.st_uid);
        (void)cause_set(cause, CAUSE_STATE,
                        "this is root, and the state folder %s belongs to user %s, who could not use the "
                        "files that root makes there",
                        directory, name);
        cause_remedy(cause,
                     "systemctl start emailsecd; or by hand: runuser -u %s -- emailsecd ...; for a try, name "
                     "a folder "
                     "of its own by --state-directory",
                     name);
        return -1;
}

/* For what is done once, by root: as the user whose the state folder is, so that everything in it stays that
 * user's. */
static int become_owner(const char *directory, struct cause *cause)
{
        struct stat there;

        if (geteuid() != 0 || stat(directory, &there) < 0 || there.st_uid == 0)
                return 0;
        const struct passwd *owner = getpwuid(there.st_uid);
        gid_t group = owner ? owner->pw_gid : there.st_gid;
        if ((owner ? initgroups(owner->pw_name, group) : setgroups(0, NULL)) < 0 || setgid(group) < 0 ||
            setuid(there.st_uid) < 0)
                return cause_errno(cause, errno, "cannot become the user of %s", directory);
        return 0;
}

static int restore(void)
{
        struct cause cause = { 0 };

        if (become_owner(me.settings.state_directory, &cause) < 0 ||
            restore_station(STDIN_FILENO, me.settings.state_directory, me.force, &cause) < 0)
                return refuse(&cause, EXIT_FAILURE);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int64_t stuck_for(void)
{
        int64_t store = store_stuck_for(), spools = spools_stuck_for();

        return store > spools ? store : spools;
}

/* ---- a start on a full disk ---- */

static bool ended_early; /* while it waited */

static void on_early_end(unused_arg void *ctx, unused_arg int number)
{
        ended_early = true;
        loop_end();
}

static void on_early_hangup(unused_arg void *ctx, unused_arg int number)
{
        loop_end(); /* it may have been mended */
}

static void look_again(unused_arg void *ctx)
{
        loop_end();
}

/* What it takes to begin is lacking: who comes is told so, until there may be room. -1: nobody can be told.
 */
static int wait_for_room(const struct cause *why, struct cause *cause)
{
        if (listener_stand_in(me.settings.control_socket, why, cause) < 0)
                return -1;
        manager_tell_waiting(why->text);
        struct timer *timer = timer_new(look_again, NULL);
        timer_set(timer, WAIT_MS);
        loop_run();
        timer_free(timer);
        return 0;
}

/* 0, or -1 with a cause; or ended_early. */
static int begin(struct cause *cause)
{
        struct cause why = { 0 };
        bool told = false;

        loop_on_signal(SIGTERM, on_early_end, NULL);
        loop_on_signal(SIGINT, on_early_end, NULL);
        loop_on_signal(SIGHUP, on_early_hangup, NULL);
        while (service_open(&me.settings, &why) < 0) {
                struct subject subject = { .cause = &why };
                if (!store_lacks_room(me.settings.state_directory, &why)) {
                        *cause = why;
                        return -1;
                }
                if (!told)
                        log_about(&subject, LOG_ERR, MSG_DISK_FAULT,
                                  "nothing is served yet, for want of room: %s", why.text);
                told = true;
                if (wait_for_room(&why, cause) < 0)
                        return -1;
                if (ended_early)
                        return 0;
                cause_clear(&why);
        }
        return 0;
}

static int serve(void)
{
        struct cause cause = { 0 };

        if (check_user(me.settings.state_directory, &cause) < 0)
                return refuse(&cause, EXIT_FAILURE);
        if (loop_open(&cause) < 0)
                return refuse(&cause, EXIT_FAILURE);
        permit_open(&me.settings);
        if (begin(&cause) < 0 || ended_early) {
                int status = ended_early ? EXIT_SUCCESS
                                         : refuse(&cause, store_lost_database() ? EX_DATAERR : EXIT_FAILURE);
                listener_close();
                loop_close();
                return status;
        }
        methods_on_reload(reload);
        if (listener_open(me.settings.control_socket, &cause) < 0) {
                service_close();
                loop_close();
                return refuse(&cause, EXIT_FAILURE);
        }
        smtpd_listener_open(&me.settings);
        loop_on_signal(SIGTERM, on_end, NULL);
        loop_on_signal(SIGINT, on_end, NULL);
        hangup.timer = timer_new(reload_by_signal, NULL);
        loop_on_signal(SIGHUP, on_hangup, NULL);
        manager_open(&(struct manager_user){ .line = service_line, .stuck_for = stuck_for });
        watch_surroundings();
        scoped(scoped_free) char *line = service_line();
        log_about(NULL, LOG_INFO, MSG_STARTED, "emailsecd %s is ready: %s", VERSION, line);
        manager_tell_ready();

        loop_run();

        timer_free(take(hangup.timer));
        netmon_close();
        manager_close();
        listener_stop();
        smtpd_listener_stop();
        service_close();
        smtpd_listener_close();
        listener_close();
        loop_close();
        journal_tell_repeats(true);
        return EXIT_SUCCESS;
}

/* ---- options ---- */

static void print_help(void)
{
        printf("emailsecd [OPTIONS]\n"
               "The mail station: sends and receives mail through servers it checks.\n\n"
               "  --config FILE           settings (/etc/emailsecd/emailsecd.conf, and FILE.d/*.conf)\n"
               "  --state-directory DIR   where accounts, queue and mail lie (/var/lib/emailsecd)\n"
               "  --socket PATH           control socket (/run/emailsecd/io.emailsec)\n"
               "  --system-trust PATH     System Trust Store: file or folder of PEM certificates\n"
               "  --set SECTION.KEY=VALUE any key of emailsecd.conf, for this start\n"
               "  --foreground            stay in the foreground (it always does)\n"
               "  --accept-new-database   begin with an empty queue where station.db was lost\n"
               "  --restore [--force]     put the backup at standard input into the state folder, and end\n"
               "  --check-config          check the settings and end\n"
               "  -h, --help              this text\n"
               "      --version           the version\n\n"
               "Manage it with emailsecctl. See emailsecd(8), emailsecd.conf(5).\n");
}

static int usage(const char *words)
{
        fprintf(stderr, "emailsecd: %s\n  what to do: emailsecd --help\n", words);
        return EX_USAGE;
}

/* Settings take absolute paths; on the command line a person may give another. */
static const char *path_assignment(const char *key, const char *path)
{
        scoped(scoped_free) char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);

        return text_of("%s=%s%s%s", key, here ? here : "", here ? "/" : "", path);
}

enum {
        OPT_CONFIG = 1000,
        OPT_STATE,
        OPT_SOCKET,
        OPT_TRUST,
        OPT_SET,
        OPT_FOREGROUND,
        OPT_CHECK,
        OPT_VERSION,
        OPT_NEW_DATABASE,
        OPT_RESTORE,
        OPT_FORCE
};

static const struct option options[] = {
        { "config", required_argument, NULL, OPT_CONFIG },
        { "state-directory", required_argument, NULL, OPT_STATE },
        { "socket", required_argument, NULL, OPT_SOCKET },
        { "system-trust", required_argument, NULL, OPT_TRUST },
        { "set", required_argument, NULL, OPT_SET },
        { "foreground", no_argument, NULL, OPT_FOREGROUND },
        { "accept-new-database", no_argument, NULL, OPT_NEW_DATABASE },
        { "restore", no_argument, NULL, OPT_RESTORE },
        { "force", no_argument, NULL, OPT_FORCE },
        { "check-config", no_argument, NULL, OPT_CHECK },
        { "version", no_argument, NULL, OPT_VERSION },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
};

/* The key=value that an option stands for; `text` is kept. */
static const char *assignment_of(int option, const char *text)
{
        return option == OPT_STATE    ? path_assignment("Service.StateDirectory", text)
               : option == OPT_SOCKET ? path_assignment("Service.ControlSocket", text)
               : option == OPT_TRUST  ? path_assignment("Trust.SystemTrustStore", text)
                                      : text;
}

/* -1: go on; else the exit status. */
static int take_option(int option, char *const *argv)
{
        switch (option) {
        case 'h':
                print_help();
                return EXIT_SUCCESS;
        case OPT_VERSION:
                printf("emailsecd %s\n", VERSION);
                return EXIT_SUCCESS;
        case OPT_CONFIG:
                me.config = optarg;
                me.config_named = true;
                break;
        case OPT_STATE:
        case OPT_SOCKET:
        case OPT_TRUST:
        case OPT_SET:
                if (me.assignment_count == count_of(me.assignments))
                        return usage("too many settings on the command line");
                me.assignments[me.assignment_count++] = assignment_of(option, optarg);
                break;
        case OPT_NEW_DATABASE:
                store_accept_new();
                break;
        case OPT_RESTORE:
                me.restore = true;
                break;
        case OPT_FORCE:
                me.force = true;
                break;
        case OPT_CHECK:
                me.check_only = true;
                break;
        case OPT_FOREGROUND:
                break;
        default: {
                scoped(scoped_free) char *words =
                        text_of("unknown option, or its value is missing: %s", argv[optind - 1]);
                return usage(words);
        }
        }
        return -1;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv)
{
        opterr = 0; /* said once, and with what to do */
        for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
                int status = take_option(option, argv);
                if (status >= 0)
                        return status;
        }
        if (me.force && !me.restore)
                return usage("--force is for --restore");
        return optind < argc ? usage("takes options only") : -1;
}

int main(int argc, char **argv)
{
        struct cause cause = { 0 };

        (void)setlocale(LC_CTYPE, "C.UTF-8");
        harden();
        int done = read_options(argc, argv);
        if (done >= 0)
                return done;
        if (!me.config)
                me.config = default_config();
        if (read_settings(&me.settings, &cause) < 0)
                return refuse(&cause, EX_CONFIG);
        if (me.check_only) {
                printf("emailsecd: the settings are in order\n");
                settings_done(&me.settings);
                return EXIT_SUCCESS;
        }
        journal_open(me.settings.log_level, me.settings.log_target);
        int status = me.restore ? restore() : serve();
        settings_done(&me.settings);
        return status;
}
