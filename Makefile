# emailsecd: one Makefile, not recursive. Sources are found by wildcards, a folder each; objects lie in build/FLAVOUR.
#
#   make               the two programs
#   make check         unit tests, habits and system tests (make deps installs what is missing)
#   make demo          the whole procedure on private Postfix and Dovecot
#   make FLAVOUR=asan check     the same under AddressSanitizer and UBSan

MAKEFLAGS += -r
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

VERSION := 0.1.0
FLAVOUR ?= plain
BUILD   := build/$(FLAVOUR)

# ---- directories (GNU names; all under DESTDIR) --------------------------------------------
prefix        ?= /usr
exec_prefix   ?= $(prefix)
bindir        ?= $(exec_prefix)/bin
sbindir       ?= $(exec_prefix)/sbin
sysconfdir    ?= /etc
localstatedir ?= /var
runstatedir   ?= /run
datarootdir   ?= $(prefix)/share
pkglibdir     ?= $(exec_prefix)/lib/emailsecd
mandir        ?= $(datarootdir)/man
docdir        ?= $(datarootdir)/doc/emailsecd
systemdsystemunitdir ?= /lib/systemd/system
sysusersdir   ?= /usr/lib/sysusers.d
tmpfilesdir   ?= /usr/lib/tmpfiles.d
catalogdir    ?= /usr/lib/systemd/catalog
bashcompletiondir ?= $(datarootdir)/bash-completion/completions
zshcompletiondir  ?= $(datarootdir)/zsh/vendor-completions
fishcompletiondir ?= $(datarootdir)/fish/vendor_completions.d
cockpitdir    ?= $(datarootdir)/cockpit/emailsec

# ---- flags -------------------------------------------------------------------------------
CC     ?= cc
ifeq ($(origin CC),default)
CC     := cc
endif
AR     := ar
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config

# These must work before the libraries are there.
ifeq ($(filter deps deps-slow deps-cockpit clean check demo,$(MAKECMDGOALS)),)
need = $(or $(shell $(PKG_CONFIG) --exists $(1) && echo yes),$(error $(1) is missing: run `make deps`))
LIBS := libevent_core openssl jansson libsystemd sqlite3 libgsasl libidn2 gmime-3.0
$(foreach lib,$(LIBS),$(if $(call need,$(lib)),))
pkg_cflags := $(shell $(PKG_CONFIG) --cflags libevent_core openssl jansson libsystemd sqlite3 libgsasl libidn2)
ctl_cflags := $(shell $(PKG_CONFIG) --cflags jansson libcrypto gmime-3.0)
daemon_libs := $(shell $(PKG_CONFIG) --libs libevent_core openssl jansson libsystemd sqlite3 libgsasl)
ctl_libs    := $(shell $(PKG_CONFIG) --libs jansson)
pem_libs   := $(shell $(PKG_CONFIG) --libs libcrypto)
gmime_libs  := $(shell $(PKG_CONFIG) --libs gmime-3.0)
check_libs  := $(shell $(PKG_CONFIG) --libs check 2>/dev/null)
endif

EM_CFLAGS := -std=gnu17 -D_GNU_SOURCE -I. -I$(BUILD) -DVERSION='"$(VERSION)"' \
	-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wswitch-enum -Wmissing-prototypes \
	-Wstrict-prototypes -Wvla -Wundef -Wwrite-strings -Wformat=2 \
	-Wno-overlength-strings -Werror=return-type -Werror=implicit -fno-common -pthread
ifeq ($(WERROR),1)
EM_CFLAGS += -Werror
endif
EM_LDFLAGS := -pthread

ifeq ($(FLAVOUR),plain)
EM_CFLAGS  += -fPIE -fstack-protector-strong -fstack-clash-protection
# a packager's own level stands; without optimization there is none
ifeq ($(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS))$(filter -O0,$(CFLAGS)),)
EM_CFLAGS  += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
ifneq ($(findstring clang,$(CC)),clang)
EM_CFLAGS  += -fcf-protection
endif
EM_LDFLAGS += -fPIE -pie -Wl,-z,relro,-z,now -Wl,--as-needed
else ifeq ($(FLAVOUR),asan)
# -g1: lines and names are all that a report shows, and a third of the compiler's time is spared
EM_CFLAGS  += -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
EM_LDFLAGS += -fsanitize=address,undefined
else ifeq ($(FLAVOUR),tsan)
EM_CFLAGS  += -O1 -g1 -fsanitize=thread
EM_LDFLAGS += -fsanitize=thread
else ifeq ($(FLAVOUR),cov)
EM_CFLAGS  += -O0 -g --coverage
EM_LDFLAGS += --coverage
else ifeq ($(FLAVOUR),fuzz)
CC         := clang
EM_CFLAGS  += -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
EM_LDFLAGS += -fsanitize=fuzzer,address,undefined
else
$(error FLAVOUR is plain, asan, tsan, cov or fuzz)
endif

# ---- sources: one archive a subsystem, each may use those before it -----------------------------
# A subsystem's sources are all there are in its folder. MIME_SRC uses GMime, PEM_SRC libcrypto: parts of the tool that are loaded.
MIME_SRC    := $(sort $(wildcard ctl/mime*.c))
PEM_SRC     := ctl/pem.c
SRC_common  := $(sort $(wildcard common/*.c))
SRC_base    := $(filter-out daemon/main.c,$(sort $(wildcard daemon/*.c)))
SRC_ctl     := $(filter-out ctl/main.c $(MIME_SRC) $(PEM_SRC),$(sort $(wildcard ctl/*.c)))
SRC_esmtp   := $(sort $(wildcard common/esmtp/*.c))
LAYERS := common esmtp base store wire tls sasl smtp imap pop3 accounts session runner outgoing incoming service control smtpd
$(foreach l,$(filter-out common esmtp base,$(LAYERS)),$(eval SRC_$(l) := $(sort $(wildcard daemon/$(l)/*.c))))

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
lib = $(BUILD)/lib$(1).a
# What a layer links with: itself and everything below (the linker wants users first).
DEPS_common  := common
DEPS_esmtp   := esmtp $(DEPS_common)
DEPS_base    := base $(DEPS_common)
DEPS_store   := store $(DEPS_base)
DEPS_wire    := wire $(DEPS_base)
DEPS_tls     := tls wire $(DEPS_store)
DEPS_sasl    := sasl $(DEPS_wire)
DEPS_smtp    := smtp $(DEPS_sasl)
DEPS_imap    := imap $(DEPS_sasl)
DEPS_pop3    := pop3 $(DEPS_sasl)
# Neither of outgoing and incoming knows the other.
DEPS_accounts := accounts sasl $(DEPS_tls)
DEPS_session  := session $(DEPS_accounts)
DEPS_runner   := runner $(DEPS_session)
DEPS_outgoing := outgoing smtp $(DEPS_runner)
DEPS_incoming := incoming smtp imap pop3 $(DEPS_runner)
DEPS_service  := service outgoing incoming smtp imap pop3 $(DEPS_runner)
DEPS_control  := control $(DEPS_service)
DEPS_smtpd   := smtpd esmtp $(DEPS_control)
DEPS_ctl     := ctl $(DEPS_esmtp)
libs_of = $(foreach l,$(DEPS_$(1)),$(call lib,$(l)))

# Flags are a prerequisite like any other: objects of other flags than these are built again. The Makefile itself is
# none: most of it says nothing of them. WERROR=1 says that everything here passes, so it compiles again what was compiled
# without it; the other way round there is nothing to do.
flags := $(subst $(BUILD),BUILD,$(strip $(CC) $(AR) $(CFLAGS) $(filter-out -Werror,$(EM_CFLAGS)) $(CPPFLAGS) $(pkg_cflags) \
	$(ctl_cflags) $(EM_LDFLAGS) $(LDFLAGS) $(daemon_libs) $(ctl_libs)))
# Programs of the tests are compiled once and run for seconds: nearly all their time went into optimizing them. What they
# link with is as it is shipped. (gcc at -O0 does not know what a number is at most.) mold, where it is installed, links them in
# a tenth of the time.
test_cflags := $(if $(filter fuzz cov,$(FLAVOUR)),,-O0 -U_FORTIFY_SOURCE $(if $(findstring clang,$(CC)),,-Wno-format-truncation))
test_ldflags := $(if $(shell command -v ld.mold mold),-fuse-ld=mold)
test_flags := $(flags) $(test_cflags) $(test_ldflags)
define remember
ifneq ($$($(1)),$$(file <$(BUILD)/$(1)))
.PHONY: $(BUILD)/$(1)
endif
endef
$(foreach f,flags test_flags pkglibdir,$(eval $(call remember,$(f))))
quoted = '$(subst ','\'',$(1))'
$(BUILD)/flags $(BUILD)/test_flags $(BUILD)/pkglibdir:
	@mkdir -p $(@D)
	@printf '%s\n' $(call quoted,$($(@F))) >$@
$(BUILD)/werror:
	@mkdir -p $(@D) && touch $@
werror := $(if $(filter 1,$(WERROR)),$(BUILD)/werror)
built_with := $(BUILD)/flags $(werror)
tested_with := $(BUILD)/test_flags $(werror)
unchecked = $(if $(filter 1,$(WERROR)),,rm -f $(BUILD)/werror;)
# What a file depends on, for the folder that make is told of and not the one it was then: a build folder may be named
# with and without its path, or copied.
depends = -MMD -MP -MT '$$(BUILD)$(@:$(BUILD)%=%)'

# V=1 shows the commands.
ifneq ($(V),1)
say = @echo "  $(1) $(patsubst $(BUILD)/%,%,$@)";
endif
compile = $(call say,CC)$(unchecked) $(CC) $(CFLAGS) $(EM_CFLAGS) $(1) $(CPPFLAGS) $(depends) -c -o $@ $<

PROGRAMS := $(BUILD)/emailsecd $(BUILD)/emailsecctl $(BUILD)/emailsec-deliver $(BUILD)/emailsec-mime.so $(BUILD)/emailsec-pem.so

.PHONY: all FORCE
all: $(PROGRAMS)
FORCE:

$(BUILD)/emailsecd: $(call obj,daemon/main.c) $(call libs_of,smtpd)
	$(call say,LD)$(CC) $(CFLAGS) $(EM_LDFLAGS) $(LDFLAGS) -o $@ $^ $(daemon_libs)
$(BUILD)/emailsecctl: $(call obj,ctl/main.c) $(call libs_of,ctl)
	$(call say,LD)$(CC) $(CFLAGS) $(EM_LDFLAGS) $(LDFLAGS) -o $@ $^ $(ctl_libs)
$(BUILD)/emailsec-deliver: $(call obj,daemon/deliver/main.c) $(call lib,common)
	$(call say,LD)$(CC) $(CFLAGS) $(EM_LDFLAGS) $(LDFLAGS) -o $@ $^ $(ctl_libs)
# These libraries cost the tool's start more than all the rest: GMime is loaded when a message needs it, libcrypto when a
# client certificate is imported.
$(BUILD)/emailsec-mime.so: $(call obj,$(MIME_SRC))
	$(call say,LD)$(CC) $(CFLAGS) $(filter-out -fPIE -pie,$(EM_LDFLAGS)) $(LDFLAGS) -shared -o $@ $^ $(gmime_libs)
$(BUILD)/emailsec-pem.so: $(call obj,$(PEM_SRC))
	$(call say,LD)$(CC) $(CFLAGS) $(filter-out -fPIE -pie,$(EM_LDFLAGS)) $(LDFLAGS) -shared -o $@ $^ $(pem_libs)
$(call obj,$(MIME_SRC) $(PEM_SRC)): EM_CFLAGS := $(filter-out -fPIE,$(EM_CFLAGS)) -fPIC -fvisibility=hidden
# The day of the release in Debian's changelog: the same bytes whenever it is built.
BUILT := $(or $(SOURCE_DATE_EPOCH),$(shell date -d "$$(sed -n 's/^ -- .*>  //p' conf/debian/changelog | head -n 1)" +%s),0)
$(BUILD)/daemon/tls/clock_doubt.o: EM_CFLAGS += -DBUILT=$(BUILT)
$(BUILD)/ctl/part_load.o: EM_CFLAGS += -DPKGLIBDIR='"$(pkglibdir)"'
$(BUILD)/ctl/part_load.o: $(BUILD)/pkglibdir

# The list is written when it changes, so that an archive forgets a source that has gone.
define layer_rule
$(BUILD)/lib$(1).list: FORCE
	@mkdir -p $$(@D)
	@echo '$(SRC_$(1))' | cmp -s - $$@ || echo '$(SRC_$(1))' > $$@
$(call lib,$(1)): $(call obj,$(SRC_$(1))) $(BUILD)/lib$(1).list
	@rm -f $$@
	$$(call say,AR)$(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(foreach l,$(LAYERS) ctl,$(eval $(call layer_rule,$(l))))

$(BUILD)/ctl/%.o: ctl/%.c $(built_with)
	@mkdir -p $(@D)
	$(call compile,$(ctl_cflags))
$(BUILD)/%.o: %.c $(built_with)
	@mkdir -p $(@D)
	$(call compile,$(pkg_cflags))

# The interface descriptions, embedded for introspection.
VARLINK := common/io.emailsec.EmailService.varlink common/io.emailsec.Trust.varlink
$(BUILD)/varlink_texts.h: $(VARLINK) Makefile
	@mkdir -p $(@D)
	@{ echo '/* made from the .varlink files */'; \
	for f in $(VARLINK); do \
		echo "static const char $$(basename $$f .varlink | tr . _)_text[] ="; \
		sed -e 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$f; echo ';'; \
	done; } > $@
$(BUILD)/daemon/control/on_status.o: $(BUILD)/varlink_texts.h

# ---- unit tests: tests/unit/test_NAME.c, each with the layer it belongs to ------------------------
# A test includes the .c it tests; the archive member of that file is then never pulled in.
UNIT_common  := buf cause dsn file_rules frame json_fields names printable properties tar times
UNIT_esmtp   := esmtp
UNIT_base    := backoff events heap loop journal settings netmon local_names networks random
UNIT_store   := notice intake content_tag body_file replace_file database log_writes queue_table fetched_table missing_table maildir own_mail rest subscriber_table
UNIT_wire    := engine connection resolve server_words
UNIT_tls     := judge clock_doubt certificate allowed allowed_history trust trust_watch keys channel
UNIT_sasl    := grant sasl scram_server
UNIT_smtp    := smtp_reply smtp_meaning smtp_ways smtp_session smtp_mail smtp_body
UNIT_imap    := imap_parse imap_session imap_fetch
UNIT_pop3    := pop3_session pop3_retrieve
UNIT_accounts := account fault_grace quota
UNIT_session  := session session_line server_certificates
UNIT_outgoing := accounts sender sender_policy sender_rules
UNIT_incoming := listing_share receiver receiver_rules
UNIT_service  := account_view fault_mail history outcome probe reread service_spread service_time service_view
UNIT_control := permit varlink_server
UNIT_smtpd   := peer_uid smtpd_client
UNIT_ctl     := ctl_show ctl_send ctl_words servers
UNIT_TESTS :=
define unit_rule
$(BUILD)/tests/test_$(2): tests/unit/test_$(2).c $(call libs_of,$(1)) $(tested_with)
	@mkdir -p $$(@D)
	$$(call say,LD)$$(unchecked) $$(CC) $$(CFLAGS) $$(filter-out -Wmissing-prototypes,$$(EM_CFLAGS)) $$(pkg_cflags) $$(if $$(filter ctl,$(1)),$$(ctl_cflags)) $$(CPPFLAGS) $$(test_cflags) -Itests/unit \
		$$(depends) -MF $$@.d $$(EM_LDFLAGS) $$(LDFLAGS) $$(test_ldflags) -o $$@ $$< $(call libs_of,$(1)) $$(check_libs) \
		$$(if $$(filter ctl,$(1)),$$(gmime_libs)) $$(daemon_libs)
UNIT_TESTS += $(BUILD)/tests/test_$(2)
endef
$(foreach l,$(LAYERS) ctl,$(foreach t,$(UNIT_$(l)),$(eval $(call unit_rule,$(l),$(t)))))

.PHONY: unit-tests check-unit
unit-tests: $(UNIT_TESTS)
check-unit: $(UNIT_TESTS)
	@sh tests/unit/run.sh $(UNIT_TESTS)

# ---- the simulator: the whole daemon in a world of its own, in virtual time (tests/simulator/) --------------
# The objects of the daemon itself, main() under another name; in the place of daemon/workers.c is the simulator's threads.c,
# and the executable's own open(), epoll_wait() and so on are those that the libraries get.
SIMULATOR := $(BUILD)/tests/simulate
SIM_OBJ   := $(call obj,$(sort $(wildcard tests/simulator/*.c)))
$(SIM_OBJ): EM_CFLAGS := $(filter-out -D_FORTIFY_SOURCE% -Wpedantic -Wmissing-prototypes,$(EM_CFLAGS)) -fno-builtin-printf
$(BUILD)/tests/simulator/daemon_main.o: $(BUILD)/daemon/main.o
	@mkdir -p $(@D)
	$(call say,OBJCOPY)objcopy --redefine-sym main=daemon_main $< $@
# Of the simulator's own names none but those of the system's calls and of workers.c are seen by the daemon's: they may be the same.
$(BUILD)/tests/simulator/names: daemon/loop.h daemon/loop_parts.h Makefile
	@mkdir -p $(@D)
	@{ nm -D --defined-only "$$($(CC) -print-file-name=libc.so.6)" | sed 's/.* //; s/@.*//'; echo main; echo sd_journal_sendv; \
	grep -oh 'workers_[a-z_]*' daemon/loop.h daemon/loop_parts.h; } | sort -u >$@
$(BUILD)/tests/simulator/world.o: $(SIM_OBJ) $(BUILD)/tests/simulator/names
	$(call say,LD)$(LD) -r -o $@.all $(SIM_OBJ) && objcopy --keep-global-symbols=$(BUILD)/tests/simulator/names $@.all $@
$(SIMULATOR): $(BUILD)/tests/simulator/world.o $(BUILD)/tests/simulator/daemon_main.o $(call libs_of,smtpd)
	$(call say,LD)$(CC) $(CFLAGS) $(EM_LDFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ $(daemon_libs)
# One history with its log (SEED=n), or fresh ones on all processors (JOBS=n: on so many) for so long (T=10m; COMMIT=1: as the
# commit has them): see HACKING.md.
.PHONY: simulator simulate
simulator: $(SIMULATOR)
# In short, for make check.
.PHONY: check-simulator
check-simulator: $(SIMULATOR)
	FLAVOUR=$(FLAVOUR) $(PYTEST) -q -p no:cacheprovider tests/simulator
simulate: $(SIMULATOR)
	@FLAVOUR=$(FLAVOUR) /usr/bin/python3 tests/simulator/simulate.py $(if $(SEED),$(SEED),--for $(T)) $(if $(HOURS),--hours $(HOURS)) \
		$(if $(COMMIT),--commit) $(if $(JOBS),--jobs $(JOBS))
# Its proof: faults put back one by one, each to be found.
.PHONY: simulate-mutants
simulate-mutants: $(SIMULATOR)
	@FLAVOUR=$(FLAVOUR) /usr/bin/python3 tests/simulator/mutants.py $(MUTANTS)
# ---- fuzz targets: tests/fuzz/fuzz_NAME.c; their corpus is a test, FLAVOUR=fuzz looks for more --------
FUZZ_TARGETS := line reply http imap pop3 frame json certificate settings intake words header allowed import key staple \
	sasl smtp draft servers tar esmtp
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(BUILD)/fuzz/fuzz_%)
FUZZ_MAIN := $(if $(filter fuzz,$(FLAVOUR)),,$(BUILD)/tests/fuzz/replay.o)
# What each links with: all of the daemon below control, but for what the tool does.
fuzz_libs = $(call libs_of,$(if $(filter draft servers,$(1)),ctl,$(if $(filter esmtp,$(1)),esmtp,service)))
$(foreach t,$(FUZZ_TARGETS),$(eval $(BUILD)/fuzz/fuzz_$(t): $(call fuzz_libs,$(t))))
$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_MAIN) $(tested_with)
	@mkdir -p $(@D)
	$(call say,LD)$(unchecked) $(CC) $(CFLAGS) $(EM_CFLAGS) $(pkg_cflags) $(CPPFLAGS) $(test_cflags) $(depends) -MF $@.d $(EM_LDFLAGS) \
		$(LDFLAGS) $(test_ldflags) -o $@ $< $(FUZZ_MAIN) $(call fuzz_libs,$*) $(daemon_libs)

.PHONY: check-fuzz fuzz
check-fuzz: $(FUZZ_PROGRAMS)
	@for t in $(FUZZ_TARGETS); do $(BUILD)/fuzz/fuzz_$$t tests/fuzz/corpus/$$t || exit 1; done
# T seconds for each target; what is new goes to build/fuzz/found, what crashes stands beside it.
T ?= 60
ifeq ($(FLAVOUR),fuzz)
fuzz: $(FUZZ_PROGRAMS)
	@for t in $(FUZZ_TARGETS); do \
		mkdir -p $(BUILD)/found/$$t; dict=tests/fuzz/$$t.dict; test -e $$dict || dict=; \
		echo "fuzz $$t: $(T) seconds"; \
		$(BUILD)/fuzz/fuzz_$$t -max_total_time=$(T) -timeout=10 -max_len=8192 -verbosity=0 $${dict:+-dict=$$dict} \
			-artifact_prefix=$(BUILD)/found/$$t- $(BUILD)/found/$$t tests/fuzz/corpus/$$t || exit 1; \
	done
else
fuzz:
	@$(MAKE) FLAVOUR=fuzz T=$(T) fuzz
endif

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- checks ----------------------------------------------------------------------------------
PYTEST ?= /usr/bin/python3 -m pytest
# System tests side by side.
TEST_JOBS ?= 2
.PHONY: check checks check-system habits demo demo-built
# Both install what is missing, then build, then run.
check: deps
	@$(MAKE) --no-print-directory checks
demo: deps
	@$(MAKE) --no-print-directory demo-built
checks: all check-unit check-fuzz check-simulator habits check-system
# Preloaded into daemons under test: disks that fail, clocks that are set.
$(BUILD)/tests/interpose.so: tests/system/interpose.c Makefile
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(CFLAGS) $(filter-out -fPIE -Wmissing-prototypes -Wpedantic -fsanitize%,$(EM_CFLAGS)) -fPIC $(CPPFLAGS) -shared -o $@ $<
# The tool's encoder alone, for thousands of messages.
$(BUILD)/tests/encode: tests/system/encode.c $(call libs_of,ctl) $(built_with)
	@mkdir -p $(@D)
	$(call say,LD)$(unchecked) $(CC) $(CFLAGS) $(EM_CFLAGS) $(ctl_cflags) $(CPPFLAGS) $(depends) -MF $@.d $(EM_LDFLAGS) $(LDFLAGS) -o $@ $< $(call libs_of,ctl) $(ctl_libs)
# Real binaries against real servers. FLAVOUR=asan runs the same with sanitizers.
check-system: all $(BUILD)/tests/interpose.so $(BUILD)/tests/encode
	FLAVOUR=$(FLAVOUR) $(PYTEST) -q -n $(TEST_JOBS) tests/system
# The long ones as well: crash series, packages, a booted machine (make deps-slow installs what they need).
.PHONY: check-slow
check-slow: all $(BUILD)/tests/interpose.so $(BUILD)/tests/encode
	EMAILSEC_SLOW=1 FLAVOUR=$(FLAVOUR) $(PYTEST) -q -n 2 tests/system
# Courier, Cyrus, GNU mailutils and Exim for the tests, unpacked beside Dovecot and Postfix; without them those tests are skipped.
.PHONY: servers
servers:
	tests/system/unpack-servers.sh $(CURDIR)/build/servers
# Trials: break what is under way at random moments, use the socket in every way, fail the n-th call. The seed is printed;
# what failed can be repeated. `make soak T=8h` for as long as one likes, FLAVOUR=asan to see more.
.PHONY: trials soak torture
trials: all
	FLAVOUR=$(FLAVOUR) /usr/bin/python3 tests/trials/soak.py --once
soak: all
	FLAVOUR=$(FLAVOUR) /usr/bin/python3 tests/trials/soak.py $(T)
torture: all
	FLAVOUR=plain /usr/bin/python3 tests/trials/torture.py $(if $(filter command line,$(origin T)),--seconds $(T))
habits: all
	FLAVOUR=$(FLAVOUR) $(PYTEST) -q tests/habits
demo-built: all
	@FLAVOUR=$(FLAVOUR) /usr/bin/python3 tests/demo/demo.py

# The page for Cockpit by clicks and keys in Chromium; pictures of it are kept in build/cockpit. EMAILSEC_SLOW: the whole of it,
# where the ordinary tests open it once.
.PHONY: check-cockpit lint-cockpit
check-cockpit: all lint-cockpit
	EMAILSEC_SLOW=1 FLAVOUR=$(FLAVOUR) $(PYTEST) -q tests/system/test_cockpit.py
	$(PYTEST) -q tests/habits/test_cockpit.py
lint-cockpit:
	@command -v node >/dev/null || { echo "node is not installed"; exit 1; }; \
	for f in ctl/cockpit/*.js; do case $$f in */po.*) continue;; esac; node --check --input-type=module <$$f || exit 1; done
	@! test -x build/cockpit/node_modules/.bin/eslint || \
		build/cockpit/node_modules/.bin/eslint -c tests/habits/eslint.config.mjs --no-warn-ignored ctl/cockpit/*.js
# The tests' own: a browser, Cockpit, and (by npm, into build/cockpit) what finds faults of accessibility.
COCKPIT_PACKAGES := cockpit-ws cockpit-bridge cockpit-system chromium chromium-driver python3-selenium \
	$(if $(shell command -v npm),,nodejs npm)
.PHONY: deps-cockpit
deps-cockpit: deps
	@mkdir -p build/cockpit
	cd build/cockpit && npm install --no-audit --no-fund axe-core eslint

# ---- benchmarks: ratios against others on the same sink; needs root, COUNT messages, median of ROUNDS ------
COUNT ?= 2000
ROUNDS ?= 3
BENCH_HELPERS := clients fast_reader fast_sink fast_source fast_writer slow_wire spawn_each
$(BENCH_HELPERS:%=$(BUILD)/bench/%): $(BUILD)/bench/%: tests/bench/%.c $(built_with)
	@mkdir -p $(@D)
	$(call say,LD)$(unchecked) $(CC) $(CFLAGS) $(EM_CFLAGS) $(pkg_cflags) $(CPPFLAGS) $(depends) -MF $@.d $(EM_LDFLAGS) $(LDFLAGS) -o $@ $< $(daemon_libs)
# Programs that cannot be installed beside Postfix, unpacked into a folder of their own.
PEERS := build/peers
.PHONY: bench-peers
bench-peers:
	@rm -rf $(PEERS); mkdir -p $(PEERS)
	cd $(PEERS) && apt-get download nullmailer dma opensmtpd && for p in *.deb; do dpkg -x $$p $${p%%_*}; done
# Beside mbsync, fetchmail, getmail6 and mpop, where they are installed; idle: ACCOUNTS of one daemon.
.PHONY: bench-incoming bench-idle
bench-incoming bench-idle: bench-%: all $(BENCH_HELPERS:%=$(BUILD)/bench/%)
	@EMAILSEC_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/$*.py
# One figure of each kind in some 20 seconds; the lines are kept in build/bench.txt.
.PHONY: bench-small
bench-small: all $(BENCH_HELPERS:%=$(BUILD)/bench/%)
	@EMAILSEC_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/small.py build/bench.txt
# Where the daemon's instructions go, by message: WHAT is receive-imap, receive-pop3, submit or send (tests/bench/README.md).
WHAT ?= receive-imap
.PHONY: profile
profile: all $(BENCH_HELPERS:%=$(BUILD)/bench/%)
	@EMAILSEC_BUILD=$(abspath $(BUILD)) $(if $(filter command line,$(origin COUNT)),COUNT=$(COUNT)) \
		/usr/bin/python3 tests/bench/profile.py $(WHAT) build/profile
# The submission listener beside Postfix's and, where it was unpacked, OpenSMTPD's.
# Curves from 10 to 10,000 accounts and from 1,000 to 1,000,000 messages; ACCOUNTS= and MESSAGES= are the most.
.PHONY: bench-growth
bench-growth: all
	@EMAILSEC_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/growth.py $(or $(ACCOUNTS),10000) $(or $(MESSAGES),1000000)
.PHONY: bench-submission
bench-submission: all
	@EMAILSEC_BUILD=$(abspath $(BUILD)) PEERS=$(abspath $(PEERS)) /usr/bin/python3 tests/bench/submission.py $(COUNT) $(ROUNDS)
.PHONY: bench-outgoing
bench-outgoing: all $(BENCH_HELPERS:%=$(BUILD)/bench/%)
	@EMAILSEC_BUILD=$(abspath $(BUILD)) PEERS=$(abspath $(PEERS)) /usr/bin/python3 tests/bench/outgoing.py $(COUNT) $(ROUNDS)

# ---- what a fresh Debian 12 needs ------------------------------------------------------------
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)
BUILD_PACKAGES := gcc make pkg-config libevent-dev libssl-dev libjansson-dev libsystemd-dev libsqlite3-dev \
	libgsasl-dev libidn2-dev libgmime-3.0-dev
TEST_PACKAGES  := check mold postfix dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd python3-pytest \
	python3-pytest-xdist python3-cryptography openssl systemd mandoc iproute2
# The slow tests' own: packages are built and checked, a machine is made and booted, namespaces are set up.
SLOW_PACKAGES  := mmdebstrap systemd-container debhelper dpkg-dev lintian blhc devscripts util-linux
.PHONY: deps deps-slow
deps deps-slow:
	@missing=; for p in $(BUILD_PACKAGES) $(TEST_PACKAGES) $(if $(filter deps-slow,$@),$(SLOW_PACKAGES)) \
		$(if $(filter deps-cockpit,$(MAKECMDGOALS)),$(COCKPIT_PACKAGES)); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	test -z "$$missing" || { $(SUDO) apt-get update -q && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; }

# ---- installing -------------------------------------------------------------------------------
INSTALL ?= install
MAN_PAGES := $(wildcard man/*.[1-9])
UNITS := systemd/emailsecd.service systemd/emailsecd.socket systemd/emailsec-smtp.socket systemd/emailsec-metrics.service systemd/emailsec-metrics.timer \
	systemd/emailsec-deliver.socket systemd/emailsec-deliver@.service
COCKPIT := ctl/cockpit/manifest.json ctl/cockpit/index.html $(sort $(wildcard ctl/cockpit/*.js ctl/cockpit/*.css))
EXAMPLES := conf/emailsec-alerts.yml conf/emailsec-dashboard.json conf/root-only.conf
subst_dirs = sed -e 's|@sbindir@|$(sbindir)|g; s|@bindir@|$(bindir)|g; s|@pkglibdir@|$(pkglibdir)|g'

.PHONY: install uninstall installcheck dist
install: all
	$(INSTALL) -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(sysconfdir)/emailsecd/emailsecd.conf.d \
		$(DESTDIR)$(systemdsystemunitdir) $(DESTDIR)$(sysusersdir) $(DESTDIR)$(tmpfilesdir) \
		$(DESTDIR)$(catalogdir) $(DESTDIR)$(bashcompletiondir) $(DESTDIR)$(zshcompletiondir) \
		$(DESTDIR)$(fishcompletiondir) $(DESTDIR)$(docdir)/examples $(DESTDIR)$(pkglibdir) $(DESTDIR)$(cockpitdir)
	$(INSTALL) -m 755 $(BUILD)/emailsecd $(DESTDIR)$(sbindir)/emailsecd
	$(INSTALL) -m 755 $(BUILD)/emailsecctl $(DESTDIR)$(bindir)/emailsecctl
	$(INSTALL) -m 755 $(BUILD)/emailsec-deliver $(DESTDIR)$(pkglibdir)/emailsec-deliver
	$(INSTALL) -m 644 $(BUILD)/emailsec-mime.so $(DESTDIR)$(pkglibdir)/emailsec-mime.so
	$(INSTALL) -m 644 $(BUILD)/emailsec-pem.so $(DESTDIR)$(pkglibdir)/emailsec-pem.so
	test -e $(DESTDIR)$(sysconfdir)/emailsecd/emailsecd.conf || \
		$(INSTALL) -m 644 conf/emailsecd.conf $(DESTDIR)$(sysconfdir)/emailsecd/emailsecd.conf
	for u in $(UNITS); do $(subst_dirs) $$u > $(DESTDIR)$(systemdsystemunitdir)/$${u##*/} || exit 1; done
	$(INSTALL) -m 644 systemd/emailsecd.sysusers $(DESTDIR)$(sysusersdir)/emailsecd.conf
	$(INSTALL) -m 644 systemd/emailsecd.tmpfiles $(DESTDIR)$(tmpfilesdir)/emailsecd.conf
	$(INSTALL) -m 644 systemd/emailsecd.catalog $(DESTDIR)$(catalogdir)/emailsecd.catalog
	for m in $(MAN_PAGES); do $(INSTALL) -D -m 644 $$m $(DESTDIR)$(mandir)/man$${m##*.}/$${m##*/} || exit 1; done
	$(INSTALL) -m 644 conf/emailsecctl.bash $(DESTDIR)$(bashcompletiondir)/emailsecctl
	$(INSTALL) -m 644 conf/emailsecctl.zsh $(DESTDIR)$(zshcompletiondir)/_emailsecctl
	$(INSTALL) -m 644 conf/emailsecctl.fish $(DESTDIR)$(fishcompletiondir)/emailsecctl.fish
	$(INSTALL) -m 644 $(COCKPIT) $(DESTDIR)$(cockpitdir)
	$(INSTALL) -m 644 README.md LICENSE NEWS SECURITY.md $(DESTDIR)$(docdir)
	$(INSTALL) -m 644 $(EXAMPLES) $(DESTDIR)$(docdir)/examples
# State, mail and changed settings stay.
uninstall:
	rm -f $(DESTDIR)$(sbindir)/emailsecd $(DESTDIR)$(bindir)/emailsecctl \
		$(foreach u,$(UNITS),$(DESTDIR)$(systemdsystemunitdir)/$(notdir $(u))) \
		$(DESTDIR)$(sysusersdir)/emailsecd.conf $(DESTDIR)$(tmpfilesdir)/emailsecd.conf \
		$(DESTDIR)$(catalogdir)/emailsecd.catalog $(DESTDIR)$(bashcompletiondir)/emailsecctl \
		$(DESTDIR)$(zshcompletiondir)/_emailsecctl $(DESTDIR)$(fishcompletiondir)/emailsecctl.fish \
		$(foreach m,$(MAN_PAGES),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))
	rm -rf $(DESTDIR)$(docdir) $(DESTDIR)$(pkglibdir) $(DESTDIR)$(cockpitdir)
installcheck:
	$(DESTDIR)$(sbindir)/emailsecd --version
	$(DESTDIR)$(sbindir)/emailsecd --config $(DESTDIR)$(sysconfdir)/emailsecd/emailsecd.conf --check-config
	$(DESTDIR)$(bindir)/emailsecctl --version
	$(DESTDIR)$(bindir)/emailsecctl --help >/dev/null
	for f in $(notdir $(COCKPIT)); do test -r $(DESTDIR)$(cockpitdir)/$$f || exit 1; done
dist:
	@mkdir -p build
	git archive --format=tar --prefix=emailsecd-$(VERSION)/ HEAD | gzip -n > build/emailsecd-$(VERSION).tar.gz
# emailsecd, emailsecctl, emailsec-mta and cockpit-emailsec as Debian packages in DEB; the same sources give the same bytes.
DEB ?= build/deb
.PHONY: deb
deb:
	conf/make-deb.sh $(VERSION) $(DEB)

# ---- looking for trouble --------------------------------------------------------------------------
.PHONY: lint
lint: check-format
	cppcheck --std=c11 --enable=warning,portability,performance --inline-suppr --quiet --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=unusedStructMember -D_GNU_SOURCE -DVERSION='"0"' -DPKGLIBDIR='"/"' \
		'-Djson_array_foreach(a,i,v)=for(i=0;(v=json_array_get(a,i));i++)' \
		'-Djson_object_foreach(o,k,v)=for(k="";(v=json_object_get(o,k));)' \
		'-Djson_object_foreach_safe(o,n,k,v)=for(k="",n=0;(v=json_object_get(o,k));)' \
		-I. common daemon ctl
	/usr/bin/python3 tests/habits/functions.py
	mandoc -Tlint -Wwarning $(MAN_PAGES)
	shellcheck tests/unit/run.sh tests/system/unpack-servers.sh .ci/run

# The whole tree as .clang-format has it, and no line of it wider than 110 columns, but for tables laid out by hand.
CLANG_FORMAT ?= clang-format-19
FORMATTED = $(shell git ls-files '*.c' '*.h' 2>/dev/null || find common daemon ctl tests -name '*.[ch]')
.PHONY: format check-format check-columns
format:
	@printf '%s\n' $(FORMATTED) | xargs -P 2 -n 40 $(CLANG_FORMAT) -i
check-format: check-columns
	@printf '%s\n' $(FORMATTED) | xargs -P 2 -n 40 $(CLANG_FORMAT) --dry-run --Werror
check-columns:
	@awk 'FNR == 1 { table = 0 } /clang-format off/ { table = 1 } /clang-format on/ { table = 0 } \
		length($$0) > 110 && !table { print FILENAME ":" FNR ": " length($$0) " columns"; wide = 1 } END { exit wide }' $(FORMATTED)

.PHONY: clean
clean:
	rm -rf build
