# activator - build, test, run.  `make help` lists the targets.
VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=

# SAN=address or SAN=thread builds beside the release, never over it.
B := build$(if $(SAN),/$(SAN))
ifneq ($(filter-out address thread,$(SAN)),)
$(error SAN=$(SAN): expected address or thread)
endif

# ---- what it needs (Debian names; a/b: the first that there is)
PKG_BUILD := gcc libc6-dev make pkg-config libevent-dev libllhttp-dev/node-llhttp libjansson-dev \
	libconfuse-dev libcurl4-openssl-dev
PKG_RUN := python3 curl
PKG_TEST := libcmocka-dev python3 python3-pytest
PKG_BENCH := wrk nginx-light haproxy python3
PKG_FORMAT := clang-format

# ---- flags
comma := ,
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
	-Wformat=2 -Wno-format-zero-length -Wvla -Wpointer-arith -Wundef
SANITIZE := $(if $(SAN),-fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined) \
	-fno-omit-frame-pointer -fno-sanitize-recover=all)
OPT ?= $(if $(SAN),-O1,-O2)

ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
LLHTTP_CFLAGS := $(shell pkg-config --cflags libllhttp)
LLHTTP_LIBS := $(shell pkg-config --libs libllhttp)
LLHTTP_OBJ :=
else # Debian 12 has its sources, in a package for another language
LLHTTP_CFLAGS := -isystem /usr/share/include/llhttp
LLHTTP_LIBS :=
LLHTTP_OBJ := $(patsubst /usr/share/llhttp/%.c,$(B)/llhttp/%.o,$(wildcard /usr/share/llhttp/*.c))
endif

CPPFLAGS += -I. -D_GNU_SOURCE $(LLHTTP_CFLAGS)
CFLAGS += -std=gnu11 -g $(OPT) $(WARN) $(SANITIZE) -pthread
LDFLAGS += -pthread $(SANITIZE)
LIBS_COMMON := -levent_core -levent_extra -ljansson -lconfuse -lm
LIBS_ACTIVATOR := $(LIBS_COMMON) $(LLHTTP_LIBS)
LIBS_AUTOSCALER := $(LIBS_COMMON) -lcurl
DEFINES = -DVERSION='"$(VERSION)"' -DSYSCONFDIR='"$(SYSCONFDIR)"'

# ---- what there is
# Objects live in $(B)/obj: the programs bear the names of their folders.
objects = $(patsubst %.c,$(B)/obj/%.o,$(wildcard $(1)/*.c))
OBJ_COMMON := $(call objects,common)
OBJ_ACTIVATOR := $(call objects,activator)
OBJ_AUTOSCALER := $(call objects,autoscaler)
UNITS := $(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/t_*.c))
APPS := $(patsubst test/apps/%.c,build/test/apps/%,$(wildcard test/apps/*.c))

# As many jobs as cores, unless make was told how many.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
SUBMAKE = $(MAKE) --no-print-directory $(JOBS)

all: $(B)/activator $(B)/autoscaler apps ## build both programs and the sample apps
apps: $(APPS)
.DEFAULT_GOAL := all

# Written anew only when a flag changed: everything is rebuilt then.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(subst ','\'',$(DEFINES))' | \
		cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(subst ','\'',$(DEFINES))' >$@

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(DEFINES) -c -o $@ $<

$(B)/llhttp/%.o: /usr/share/llhttp/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) $(CPPFLAGS) -std=gnu11 -O2 -DLLHTTP_STRICT_MODE=1 $(SANITIZE) -c -o $@ $<

$(B)/activator: $(OBJ_ACTIVATOR) $(OBJ_COMMON) $(LLHTTP_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_ACTIVATOR)

$(B)/autoscaler: $(OBJ_AUTOSCALER) $(OBJ_COMMON)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_AUTOSCALER)

# The sample apps are what is served, not what is tested: never sanitised.
build/test/apps/%: test/apps/%.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) -D_GNU_SOURCE -std=gnu11 -g -O2 -Wall -Wextra -Werror -pthread -o $@ $<

# ---- unit tests: common ground, and the side whose headers the test includes
$(B)/lib%.a:
	@rm -f $@
	@$(AR) rcs $@ $^
$(B)/libcommon.a: $(OBJ_COMMON)
$(B)/libactivator.a: $(filter-out %/main.o,$(OBJ_ACTIVATOR)) $(LLHTTP_OBJ)
$(B)/libautoscaler.a: $(filter-out %/main.o,$(OBJ_AUTOSCALER))

side = $(if $(shell grep -l '"$(2)/' $(1)),$(B)/lib$(2).a)
define unit_rule
$(B)/unit/$(1): $(B)/obj/test/unit/$(1).o $(call side,test/unit/$(1).c,activator) \
	$(call side,test/unit/$(1).c,autoscaler) $(B)/libcommon.a
endef
$(foreach u,$(UNITS),$(eval $(call unit_rule,$(notdir $(u)))))
$(UNITS):
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_AUTOSCALER) $(LLHTTP_LIBS)

# What system tests drive a part alone with: sanitised as what it drives.
$(B)/test/drive: $(B)/obj/test/drive/drive.o $(B)/libautoscaler.a $(B)/libcommon.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_AUTOSCALER)

# ---- checks.  Sanitisers end the program at the first report, with a status of their own.
CHECK_ENV := ACTIVATOR_BUILD=$(B) ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99 \
	TSAN_OPTIONS=halt_on_error=1:exitcode=99:second_deadlock_stack=1 PYTHONDONTWRITEBYTECODE=1

test: ## install what is missing, build, and run every check
	@.ci/deps $(PKG_BUILD) $(PKG_RUN) $(PKG_TEST)
	@$(SUBMAKE) SAN=$(SAN) checks

checks: all $(UNITS) $(B)/test/drive
	@test/report "$(MAKE) --no-print-directory SAN=$(SAN)" lint unit system

lint: ## include rules, header independence, banned calls, unused symbols (under 10 s)
	@test/lint/all "$(CC) $(CPPFLAGS)" $(B)/obj

unit: $(UNITS) ## unit tests (cmocka)
	@$(CHECK_ENV) test/unit/run $(UNITS)

system: all $(B)/test/drive ## system tests (pytest): both programs as black boxes
	@$(CHECK_ENV) python3 -m pytest -q -p no:cacheprovider test/system $(PYTEST_ARGS)

bench: ## measure beside nginx and HAProxy, and print a table
	@.ci/deps $(PKG_BUILD) $(PKG_BENCH)
	@$(SUBMAKE) all
	@test/bench/run

# ---- use
deps: ## install all that building, running and testing needs (Debian)
	@.ci/deps $(PKG_BUILD) $(PKG_RUN) $(PKG_TEST)

run: ## install what is missing, build, and run conf/demo.conf until Ctrl-C
	@.ci/deps $(PKG_BUILD) $(PKG_RUN)
	@$(SUBMAKE) all
	@exec conf/demo.sh

install: $(B)/activator $(B)/autoscaler ## install below $(DESTDIR)$(PREFIX); conf in $(DESTDIR)$(SYSCONFDIR)/activator
	install -d '$(DESTDIR)$(PREFIX)/sbin' '$(DESTDIR)$(SYSCONFDIR)/activator'
	install -m 755 $(B)/activator $(B)/autoscaler '$(DESTDIR)$(PREFIX)/sbin'
	[ -e '$(DESTDIR)$(SYSCONFDIR)/activator/activator.conf' ] || \
		install -m 644 conf/activator.conf '$(DESTDIR)$(SYSCONFDIR)/activator'

format: ## clang-format every C file in place
	@.ci/deps $(PKG_FORMAT)
	clang-format -i $(wildcard common/*.[ch] activator/*.[ch] autoscaler/*.[ch] test/*/*.[ch])

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z][a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 10
	@echo "SAN=address or SAN=thread: with that sanitiser, in build/\$$SAN"

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
FORCE:
.PHONY: FORCE all apps test checks lint unit system bench deps run install format clean help
.SECONDARY:
