/* SPDX-License-Identifier: MIT */
/*
 * Socket methods about the station: what it is and speaks (org.varlink.service); status, audit, metrics,
 * history, reload; what it can be told; its backup, whose archive goes to the client's descriptor.
 */
#include "common/properties.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/journal.h"
#include "daemon/local_names.h"
#include "daemon/service/history.h"
#include "daemon/service/metrics.h"
#include "daemon/service/service.h"
#include "daemon/settings.h"
#include "daemon/store/backup.h"
#include "varlink_texts.h"

#include <errno.h>
#include <fcntl.h>

/* ---- org.varlink.service: who we are and what our interfaces look like (varlink.org) ---- */

static const char service_text[] =
        "# The Varlink Service Interface is provided by every varlink service. It\n"
        "# describes the service and the interfaces it implements.\n"
        "interface org.varlink.service\n"
        "\n"
        "# Get a list of all the interfaces a service provides and information\n"
        "# about the implementation.\n"
        "method GetInfo() -> (\n"
        "  vendor: string,\n"
        "  product: string,\n"
        "  version: string,\n"
        "  url: string,\n"
        "  interfaces: []string\n"
        ")\n"
        "\n"
        "# Get the description of an interface that is implemented by this service.\n"
        "method GetInterfaceDescription(interface: string) -> (description: string)\n"
        "\n"
        "# The requested interface was not found.\n"
        "error InterfaceNotFound (interface: string)\n"
        "\n"
        "# The requested method was not found\n"
        "error MethodNotFound (method: string)\n"
        "\n"
        "# The interface defines the requested method, but the service does not\n"
        "# implement it.\n"
        "error MethodNotImplemented (method: string)\n"
        "\n"
        "# One of the passed parameters is invalid.\n"
        "error InvalidParameter (parameter: string)\n"
        "\n"
        "# Client is denied access\n"
        "error PermissionDenied ()\n"
        "\n"
        "# Method is expected to be called with 'more' set to true, but wasn't\n"
        "error ExpectedMore ()\n";

static const struct {
        const char *name, *text;
} interfaces[] = {
        { "io.emailsec.EmailService", io_emailsec_EmailService_text },
        { "io.emailsec.Trust", io_emailsec_Trust_text },
        { "org.varlink.service", service_text },
};

void on_get_info(struct call *call)
{
        json_t *info = json_object(), *names = json_array();

        for (size_t i = 0; i < count_of(interfaces); i++)
                (void)json_array_append_new(names, json_string(interfaces[i].name));
        json_put_text(info, "vendor", "emailsec");
        json_put_text(info, "product", "emailsecd");
        json_put_text(info, "version", VERSION);
        json_put_text(info, "url", "man:emailsecd(8)");
        json_put(info, "interfaces", names);
        call_reply(call, info);
}

void on_get_interface_description(struct call *call)
{
        const char *name = call_parameters(call)->interface;

        for (size_t i = 0; i < count_of(interfaces); i++)
                if (strcmp(interfaces[i].name, name) == 0) {
                        json_t *reply = json_object();
                        json_put_text(reply, "description", interfaces[i].text);
                        call_reply(call, reply);
                        return;
                }
        call_fail_varlink(call, "InterfaceNotFound", "interface", name);
}

/* ---- how it is ---- */

enum { METRICS_PIECE = 1 * MIB }; /* the samples of some accounts take less */

/* What local names stand for is told as the files say it now. */
static void status_known(void *ctx)
{
        static const struct long_reply_user user = { .next = service_status_next, .end = service_status_end };
        struct call *call = ctx;
        struct cause cause;
        struct status_work *work = service_status_begin(call_parameters(call)->account,
                                                        (size_t)call_parameters(call)->account_limit, &cause);

        if (work)
                call_reply_long(call, &user, work);
        else
                call_fail(call, &cause);
}

void on_get_status(struct call *call)
{
        local_names_look(status_known, call);
}

static void audit_known(void *ctx)
{
        static const struct long_reply_user user = { .next = service_audit_next, .end = service_audit_end };

        call_reply_long(ctx, &user, service_audit_begin());
}

void on_audit(struct call *call)
{
        local_names_look(audit_known, call);
}

struct metrics_reply {
        struct metrics_work *work;
        bool begun;
};

/* One string over many pieces: it is begun once, each piece is escaped by itself, and the last one closes
 * it. Between two pieces the loop serves others. */
static bool metrics_reply_next(void *ctx, struct json_writer *out)
{
        struct metrics_reply *reply = ctx;
        struct buf text = BUF_WITH_MAX(METRICS_PIECE);
        bool more = metrics_next(reply->work, &text);
        scoped(scoped_free) char *piece = buf_take_text(&text);

        if (!reply->begun)
                json_write(out, "{\"text\":\"");
        reply->begun = true;
        json_write_within(out, piece);
        if (!more)
                json_write(out, "\"}");
        return more;
}

/* Also for a client that left in the middle. */
static void metrics_reply_end(void *ctx)
{
        struct metrics_reply *reply = ctx;

        metrics_end(reply->work);
        free(reply);
}

void on_get_metrics(struct call *call)
{
        static const struct long_reply_user user = { .next = metrics_reply_next, .end = metrics_reply_end };
        struct metrics_reply *reply = new_object(struct metrics_reply);

        reply->work = metrics_begin();
        call_reply_long(call, &user, reply);
}

void on_get_history(struct call *call)
{
        json_t *reply = json_object();

        json_put(reply, "samples", history_json((size_t)call_parameters(call)->minutes));
        call_reply(call, reply);
}

/* Settings are read as a whole or not at all: with a cause nothing has changed, and nothing goes into the
 * audit trail. */
void on_reload(struct call *call)
{
        json_t *warnings = json_array();
        struct cause cause = { 0 };

        if (methods_reload(warnings, &cause) < 0) {
                json_decref(warnings);
                call_fail(call, &cause);
                return;
        }
        audit(call, &(struct trail){ .action = TRAIL_RELOADED,
                                     .object = "settings, credentials and system trust" });
        json_t *reply = json_object();
        json_put_text(reply, "text", "settings, credentials and system trust were read again");
        json_put(reply, "warnings", warnings);
        call_reply(call, reply);
}

void on_describe_properties(struct call *call)
{
        json_t *reply = json_object();

        json_put(reply, "groups", property_groups_description());
        json_put(reply, "outgoing", properties_description(KIND_OUTGOING));
        json_put(reply, "incoming", properties_description(KIND_INCOMING));
        json_put(reply, "settings", settings_description(settings_current()));
        json_put(reply, "secrets", property_secrets_description());
        json_put(reply, "ports", port_table_json());
        call_reply(call, reply);
}

struct backing_up {
        struct call *call; /* NULL: the client has gone */
        char *who;
        bool secrets;
};

/* The client has closed the connection: without a reader for the archive the backup has no purpose. The
 * thread tells was_made() all the same, which frees. */
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

/* Once for each backup_begin() that succeeded, on the loop. Only a backup that is whole goes into the audit
 * trail; the journal has the others. */
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

/* Said before the work begins rather than by the first write(): a client that passes its reading end by
 * mistake would wait for it. */
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
        /* The descriptor is the backup's once backup_begin() has succeeded; until then it is ours. */
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
