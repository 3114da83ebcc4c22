/* SPDX-License-Identifier: MIT */
/* Socket method Backup: the archive goes to the client's descriptor. */
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"
#include "daemon/journal.h"
#include "daemon/store/backup.h"

#include <errno.h>
#include <fcntl.h>

struct backing_up {
        struct call *call; /* NULL: the client has gone */
        char *who;
        bool secrets;
};

static void cancelled(void *work)
{
        struct backing_up *work_of = work;

        work_of->call = NULL;
        backup_cancel();
}

static void audit_backup(const struct backing_up *backing_up, const struct backup_result *result)
{
        scoped(scoped_free) char *details =
                text_of("%s the secrets; %llu files, %llu bytes", backing_up->secrets ? "with" : "without",
                        (unsigned long long)result->files, (unsigned long long)result->bytes);
        json_t *data = json_object();

        json_put(data, "secrets", json_boolean(backing_up->secrets));
        audit(backing_up->call,
              &(struct trail){
                      .action = TRAIL_BACKED_UP, .object = "the station", .details = details, .data = data });
}

static void was_made(void *ctx, const struct backup_result *result, const struct cause *cause)
{
        struct backing_up *backing_up = ctx;
        struct subject subject = { .cause = cause };

        if (cause)
                log_about(&subject, LOG_WARNING, NULL, "the backup for %s was not made: %s", backing_up->who,
                          cause->text);
        if (backing_up->call && cause) {
                call_fail(backing_up->call, cause);
        } else if (backing_up->call) {
                audit_backup(backing_up, result);
                json_t *reply = json_object();
                json_put(reply, "files", json_integer((json_int_t)result->files));
                json_put(reply, "bytes", json_integer((json_int_t)result->bytes));
                call_reply(backing_up->call, reply);
        }
        free(backing_up->who);
        free(backing_up);
}

static int check_descriptor(int fd, struct cause *cause)
{
        int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

        if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
                return cause_about(cause, CAUSE_INVALID, "descriptor",
                                   "the archive needs a file descriptor that can be written");
        return 0;
}

void on_backup(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        int fd = call_take_fd(call, (size_t)in->descriptor);
        struct cause cause = { 0 };
        struct backing_up *backing_up = new_object(struct backing_up);
        *backing_up = (struct backing_up){ .call = call,
                                           .who = copy_text(call_actor(call)),
                                           .secrets = in->secrets };
        struct backup_order order = { .fd = fd, .secrets = in->secrets, .mail = in->mail };
        if (check_descriptor(fd, &cause) < 0 || backup_begin(&order, was_made, backing_up, &cause) < 0) {
                close_fd(&fd);
                free(backing_up->who);
                free(backing_up);
                call_fail(call, &cause);
                return;
        }
        call_on_cancel(call, cancelled, backing_up);
}
