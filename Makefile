# activator - build, test, run.  `make help` lists the targets.
VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
FUZZ_SECONDS ?= 60

# A build with SAN=address or SAN=thread has its own folder below build/.
B := build$(if $(SAN),/$(SAN))
ifneq ($(filter-out address thread,$(SAN)),)
$(error SAN=$(SAN): expected address or thread)
endif

# ---- Debian packages (a/b: a, or b where the distribution has no a)
PKG_BUILD := gcc libc6-dev make pkg-config libevent-dev libllhttp-dev/node-llhttp libjansson-dev \
	libconfuse-dev libcurl4-openssl-dev libssl-dev libyaml-dev \
	libnghttp2-dev
PKG_RUN := python3 curl gunicorn openssl
PKG_TEST := libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-yaml openssl \
	ca-certificates tzdata haproxy nginx-light libnginx-mod-stream python3-h2 nghttp2-client nghttp2-server \
	python3-grpcio
PKG_BENCH := wrk nginx-light haproxy nghttp2-client nghttp2-server nghttp2-proxy h2o strace valgrind \
	python3 python3-h2 openssl
PKG_FUZZ := clang libclang-rt-14-dev/libclang-rt-dev
PKG_FORMAT := clang-format
PKG_PAGE := chromium fonts-dejavu-core

# ---- flags
comma := ,
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
	-Wformat=2 -Wno-format-zero-length -Wvla -Wpointer-arith -Wundef
SANITIZE := $(if $(SAN),-fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined) \
	-fno-omit-frame-pointer -fno-sanitize-recover=all)
OPT ?= $(if $(SAN),-O1,-O3)
# Link-time optimisation saves a tenth of the instructions of a request.  Only the two
# programs use it: the unit tests link the plain code that fat objects have too (gcc only).
LTO := $(if $(SAN),,$(if $(findstring clang,$(CC)),,-flto=auto -ffat-lto-objects))

ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
LLHTTP_CFLAGS := $(shell pkg-config --cflags libllhttp)
LLHTTP_LIBS := $(shell pkg-config --libs libllhttp)
LLHTTP_OBJ :=
else # Debian 12 has no library, but its sources, in the package node-llhttp
LLHTTP_CFLAGS := -isystem /usr/share/include/llhttp
LLHTTP_LIBS :=
LLHTTP_OBJ := $(patsubst /usr/share/llhttp/%.c,$(B)/llhttp/%.o,$(wildcard /usr/share/llhttp/*.c))
endif

CPPFLAGS += -I. -D_GNU_SOURCE $(LLHTTP_CFLAGS)
CFLAGS += -std=gnu11 -g $(OPT) $(WARN) $(SANITIZE) -pthread
LDFLAGS += -pthread $(SANITIZE)
LIBS_COMMON := -levent_core -levent_extra -ljansson -lconfuse -lnghttp2 -lm
LIBS_ACTIVATOR := $(LIBS_COMMON) $(LLHTTP_LIBS) -lssl -lcrypto
LIBS_AUTOSCALER := $(LIBS_COMMON) -lcurl -lyaml -lcrypto
DEFINES = -DVERSION='"$(VERSION)"' -DSYSCONFDIR='"$(SYSCONFDIR)"'

# ---- files
# Objects are in $(B)/obj, since the programs have the names of the source folders.
objects = $(patsubst %.c,$(B)/obj/%.o,$(wildcard $(1)/*.c $(1)/*/*.c))
OBJ_COMMON := $(call objects,common)
OBJ_ACTIVATOR := $(call objects,activator)
OBJ_CTL := $(patsubst %.c,$(B)/obj/%.o,$(wildcard autoscaler/ctl/*.c autoscaler/import/*.c))
# What the importer needs of the autoscaler.
OBJ_SHARED := $(B)/obj/autoscaler/kube/kube_yaml.o $(B)/obj/autoscaler/knative/kn_values.o
OBJ_AUTOSCALER := $(filter-out $(OBJ_CTL),$(call objects,autoscaler)) $(B)/obj/autoscaler/page/assets_files.o
UNITS := $(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/t_*.c))
# A test that includes test/unit/x.h or test/fuzz/x.h is linked with x.c, if there is one.
PARTS := $(wildcard $(patsubst %.h,%.c,$(wildcard test/unit/*.h test/fuzz/*.h)))
REPLAYS := $(patsubst test/fuzz/%.c,$(B)/unit/f_%,$(filter-out %/replay.c $(PARTS),$(wildcard test/fuzz/*.c)))
APPS := $(patsubst test/apps/%.c,build/test/apps/%,$(wildcard test/apps/*.c))

# One job for each core, unless make got -j.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
SUBMAKE = $(MAKE) --no-print-directory $(JOBS)

all: $(B)/activator $(B)/autoscaler $(B)/activatorctl apps ## build the programs and the sample apps
apps: $(APPS)
.DEFAULT_GOAL := all

# This file changes only if a flag has changed; then everything is rebuilt.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LTO) $(LDFLAGS) $(subst ','\'',$(DEFINES))' | \
		cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LTO) $(LDFLAGS) $(subst ','\'',$(DEFINES))' >$@

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(LTO) -MMD -MP $(DEFINES) -c -o $@ $<

# The files of the status page become a part of the program.
$(B)/obj/autoscaler/page/assets_files.o: autoscaler/page/assets_files.S $(B)/flags \
		$(wildcard $(addprefix autoscaler/page/*.,html css js svg))
	@mkdir -p $(@D)
	@echo "  AS    $@"
	@$(CC) -c -o $@ $<

$(B)/llhttp/%.o: /usr/share/llhttp/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) $(CPPFLAGS) -std=gnu11 -O2 $(LTO) -DLLHTTP_STRICT_MODE=1 $(SANITIZE) -c -o $@ $<

$(B)/activator: $(OBJ_ACTIVATOR) $(OBJ_COMMON) $(LLHTTP_OBJ)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) $(if $(LTO),$(OPT) $(LTO)) -o $@ $^ $(LIBS_ACTIVATOR)

$(B)/autoscaler: $(OBJ_AUTOSCALER) $(OBJ_COMMON)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) $(if $(LTO),$(OPT) $(LTO)) -o $@ $^ $(LIBS_AUTOSCALER)

$(B)/activatorctl: $(OBJ_CTL) $(OBJ_SHARED) $(OBJ_COMMON)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) $(if $(LTO),$(OPT) $(LTO)) -o $@ $^ $(LIBS_COMMON) -lyaml

# The sample apps are never built with a sanitiser: they are not under test.
build/test/%: test/%.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) -D_GNU_SOURCE -std=gnu11 -g -O2 -Wall -Wextra -Werror -pthread -o $@ $< $(APP_LIBS)
build/test/bench/handshakes: APP_LIBS := -lssl -lcrypto

# A library to be preloaded into a program: it counts the calls of libc, or makes them fail.
build/test/%.so: test/%.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) -D_GNU_SOURCE -std=gnu11 -g -O2 -Wall -Wextra -Werror -pthread -fPIC -shared -o $@ $<

# ---- unit tests: linked with libcommon.a, and with the program whose headers they include
$(B)/lib%.a:
	@rm -f $@
	@$(AR) rcs $@ $^
$(B)/libcommon.a: $(OBJ_COMMON)
$(B)/libactivator.a: $(filter-out %/main.o,$(OBJ_ACTIVATOR)) $(LLHTTP_OBJ)
$(B)/libautoscaler.a: $(filter-out %/main.o,$(OBJ_AUTOSCALER) $(OBJ_CTL))

included = $(wildcard $(patsubst "%.h",%.c,$(shell grep -ho '"test/[a-z]*/[a-z0-9_]*\.h"' $(1))))
parts = $(patsubst %.c,$(B)/obj/%.o,$(call included,$(1)))
libraries = $(foreach side,activator autoscaler,$(if $(shell grep -l '"$(side)/' $(1) \
	$(call included,$(1))),$(B)/lib$(side).a)) $(B)/libcommon.a
$(foreach u,$(UNITS:$(B)/unit/%=%),$(eval $(B)/unit/$(u): $(B)/obj/test/unit/$(u).o \
	$(call parts,test/unit/$(u).c) $(call libraries,test/unit/$(u).c)))
$(foreach f,$(REPLAYS:$(B)/unit/f_%=%),$(eval $(B)/unit/f_$(f): $(B)/obj/test/fuzz/$(f).o \
	$(B)/obj/test/fuzz/replay.o $(call parts,test/fuzz/$(f).c) $(call libraries,test/fuzz/$(f).c)))
$(UNITS) $(REPLAYS):
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) $(if $(LTO),-fno-lto) -o $@ $^ -lcmocka $(LIBS_AUTOSCALER) $(LIBS_ACTIVATOR)

# Drives the process driver alone, for system tests; built with the same sanitiser.
$(B)/test/drive: $(B)/obj/test/drive/drive.o $(B)/libautoscaler.a $(B)/libcommon.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) $(if $(LTO),-fno-lto) -o $@ $^ $(LIBS_AUTOSCALER)

# The fuzz targets with libFuzzer, which follows the branches that an input takes.
fuzz: ## fuzz each target for FUZZ_SECONDS (60) with libFuzzer; needs clang
	@.ci/deps $(PKG_BUILD) $(PKG_FUZZ)
	@$(SUBMAKE) CC=clang B=build/fuzz OPT=-O1 WARN= \
		SANITIZE=-fsanitize=fuzzer-no-link,address,undefined fuzz-all
fuzz-all: $(REPLAYS:$(B)/unit/f_%=$(B)/fuzz_%)
	@for program in $^; do \
		corpus=test/fuzz/corpus/$${program##*/fuzz_}; mkdir -p $(B)/found; \
		echo "== $$program"; \
		$$program -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/found/ \
			-print_final_stats=1 $(B)/found $$corpus || exit 1; \
	done
$(foreach f,$(REPLAYS:$(B)/unit/f_%=%),$(eval $(B)/fuzz_$(f): $(B)/obj/test/fuzz/$(f).o \
	$(call parts,test/fuzz/$(f).c) $(call libraries,test/fuzz/$(f).c)))
$(REPLAYS:$(B)/unit/f_%=$(B)/fuzz_%):
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS_AUTOSCALER) $(LIBS_ACTIVATOR)

# ---- checks.  A sanitiser ends the program at its first report, with the exit status 99.
CHECK_ENV := UNIT_TIMEOUT=$(if $(SAN),600,300) ACTIVATOR_BUILD=$(B) ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99 \
	TSAN_OPTIONS=halt_on_error=1:exitcode=99:second_deadlock_stack=1:suppressions=$(CURDIR)/test/tsan.supp PYTHONDONTWRITEBYTECODE=1

# Thread sanitiser cannot run with the wide address randomisation of newer kernels.
RUN := $(if $(filter thread,$(SAN)),$(shell setarch -R true 2>/dev/null && echo setarch -R))

test: ## install missing packages, build, and run every check
	@.ci/deps $(PKG_BUILD) $(PKG_RUN) $(PKG_TEST)
	@$(SUBMAKE) SAN=$(SAN) checks

# What test/chaos needs besides both programs.
CHAOS := build/test/chaos/witness build/test/chaos/faults.so

checks: all man $(UNITS) $(REPLAYS) $(B)/test/drive build/test/calls/calls.so $(CHAOS)
	@test/report "$(MAKE) --no-print-directory SAN=$(SAN)" lint unit system

lint: ## include rules, independent headers, banned calls, names, citations, and reports (under 10 s)
	@test/lint/all "$(CC) $(CPPFLAGS)" $(B)/obj

unit: $(UNITS) $(REPLAYS) ## unit tests (cmocka), and the fuzz targets over their corpora
	@$(CHECK_ENV) $(RUN) test/unit/run $(UNITS) $(REPLAYS)

# The first python3 that has pytest; the one of PATH may be another than Debian's.
PYTHON = $(shell for p in python3 /usr/bin/python3; do \
	$$p -c 'import pytest' 2>/dev/null && echo $$p && exit; done; echo /usr/bin/python3)

# System tests mostly wait, so several run at once; fewer with a sanitiser.
SYSTEM_JOBS ?= $(if $(SAN),2,4)

# The certificate of conf/demo.conf.
build/demo/localhost.pem:
	@conf/demo.sh --certificate build/demo

system: all $(B)/test/drive build/test/calls/calls.so $(CHAOS) build/demo/localhost.pem ## system tests (pytest): both programs as black boxes
	@$(CHECK_ENV) $(RUN) $(PYTHON) -m pytest -q -p no:cacheprovider -n $(SYSTEM_JOBS) \
		--dist loadgroup test/system $(PYTEST_ARGS)

# These two run for as long as they are asked to: a few seeds are a part of `system`.
SEEDS ?= 5
MINUTES ?= 10
chaos: all $(CHAOS) ## kill, stop and starve the programs while clients ask: SEEDS=20, SEEDS=7-9, CHAOS_ARGS=--help
	@$(CHECK_ENV) $(RUN) $(PYTHON) test/chaos/run $(SEEDS) $(CHAOS_ARGS)
soak: all $(CHAOS) ## MINUTES (10) with everything on: memory, descriptors and processes stay flat
	@$(CHECK_ENV) $(RUN) $(PYTHON) test/chaos/run --soak $(MINUTES) $(CHAOS_ARGS)

usage-kills: $(B)/unit/t_usage_kills ## kill the writer of the usage journal 1,000 times, and compare with what ran
	@USAGE_KILLS=$(or $(KILLS),1000) $(RUN) $(B)/unit/t_usage_kills

knative-kills: all ## kill the autoscaler at each write while Knative Services come, change and go
	@$(CHECK_ENV) KNATIVE_KILLS=all $(RUN) $(PYTHON) -m pytest -q -p no:cacheprovider test/system/test_knative_kills.py $(PYTEST_ARGS)

systemd: all ## both programs under a systemd of their own, in namespaces: needs root, and debootstrap; SYSTEMD_ARGS=--help
	@$(PYTHON) test/systemd/run $(SYSTEMD_ARGS)

# These need a browser, which is larger than all other packages together.
page-test: ## click through the status page in headless Chromium; SCREENS=FOLDER keeps pictures
	@.ci/deps $(PKG_BUILD) $(PKG_RUN) $(PKG_TEST) $(PKG_PAGE)
	@$(SUBMAKE) SAN=$(SAN) all
	@$(CHECK_ENV) SCREENS='$(SCREENS)' $(RUN) $(PYTHON) -m pytest -q -p no:cacheprovider test/page $(PYTEST_ARGS)

# These tests are a part of `system`, where a fake API server answers them.
KUBE_TESTS := $(wildcard test/system/test_fake_kube.py test/system/test_kubernetes*.py \
		test/system/test_manifests.py)

test-kubernetes: ## test the kubernetes driver on the cluster that KUBECONFIG names
	@if [ -z "$$KUBECONFIG" ]; then echo "skipped: KUBECONFIG names no cluster"; else \
		.ci/deps $(PKG_BUILD) $(PKG_RUN) $(PKG_TEST) && \
		$(SUBMAKE) SAN=$(SAN) kubernetes-system; fi
kubernetes-system: all
	@$(CHECK_ENV) KUBE_REAL=1 $(RUN) $(PYTHON) -m pytest -q -p no:cacheprovider $(KUBE_TESTS) \
		$(PYTEST_ARGS)

monitoring-test: ## test dashboard and alerts with a real Prometheus: rules, queries, alerts
	@.ci/deps $(PKG_BUILD) $(PKG_RUN) $(PKG_TEST) prometheus
	@$(SUBMAKE) SAN=$(SAN) monitoring-system
monitoring-system: all
	@$(CHECK_ENV) $(RUN) $(PYTHON) -m pytest -q -p no:cacheprovider -n $(SYSTEM_JOBS) \
		--dist loadfile test/monitoring $(PYTEST_ARGS)

BENCH_PROGRAMS := $(patsubst test/bench/%.c,build/test/bench/%,$(wildcard test/bench/*.c))
bench: ## measure beside nginx, HAProxy, nghttpx and h2o, and print tables
	@.ci/deps $(PKG_BUILD) $(PKG_BENCH)
	@$(SUBMAKE) all $(BENCH_PROGRAMS) build/test/chaos/witness
	@test/bench/run $(BENCH_ARGS)

.PHONY: conformance attacks page-test
conformance: all ## each rule of HTTP/2 that a client can break, and what comes of it, as a table
	@$(CHECK_ENV) $(RUN) $(PYTHON) test/system/test_h2_conformance.py

ROUNDS ?= 200
versions: all ## ship ROUNDS (200) of versions under load: not one error, and each percent within its bound
	@.ci/deps wrk python3 python3-h2
	@$(CHECK_ENV) $(RUN) $(PYTHON) test/system/test_many_versions.py $(ROUNDS)

attacks: ## attack the activator, nginx and HAProxy over HTTP/2 and TLS, and print a table
	@.ci/deps $(PKG_BUILD) $(PKG_BENCH) python3-openssl
	@$(SUBMAKE) all build/test/bench/origin
	@$(PYTHON) test/bench/attacks $(ATTACKS_ARGS)

# ---- use
deps: ## install the Debian packages for building, running and testing
	@.ci/deps $(PKG_BUILD) $(PKG_RUN) $(PKG_TEST)

build-deps: ## install the Debian packages for building alone
	@.ci/deps $(PKG_BUILD)

run: ## install missing packages, build, and run conf/demo.conf until Ctrl-C
	@.ci/deps $(PKG_BUILD) $(PKG_RUN)
	@$(SUBMAKE) all
	@exec conf/demo.sh

# The keys, metrics and answers in the pages are those of the tables that the programs use.
PAGES := activatorctl.1 activator.8 autoscaler.8 activator.conf.5 activator-protocol.7
$(B)/man/fill: $(B)/obj/conf/man/fill.o $(B)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) $(if $(LTO),-fno-lto) -o $@ $^ $(LIBS_COMMON)
$(B)/man/%: conf/man/%.in $(B)/man/fill
	@echo "  MAN   $@"
	@$(B)/man/fill <$< >$@.new
	@mv $@.new $@
$(B)/man/activator-protocol.7 $(B)/man/activatorctl.1: $(B)/man/%: conf/man/%
	@mkdir -p $(@D)
	@cp $< $@
man: $(PAGES:%=$(B)/man/%) ## the manual pages, filled from the tables

install: $(B)/activator $(B)/autoscaler $(B)/activatorctl man ## install below $(DESTDIR)$(PREFIX); conf in $(DESTDIR)$(SYSCONFDIR)/activator
	install -d '$(DESTDIR)$(SBINDIR)' '$(DESTDIR)$(SYSCONFDIR)/activator' '$(DESTDIR)$(UNITDIR)' \
		'$(DESTDIR)$(BASHDIR)' '$(DESTDIR)$(ZSHDIR)' '$(DESTDIR)$(FISHDIR)' \
		'$(DESTDIR)$(MANDIR)/man1' '$(DESTDIR)$(MANDIR)/man5' '$(DESTDIR)$(MANDIR)/man7' '$(DESTDIR)$(MANDIR)/man8'
	install -m 755 $(B)/activator $(B)/autoscaler $(B)/activatorctl '$(DESTDIR)$(SBINDIR)'
	$(B)/activatorctl completion bash >'$(DESTDIR)$(BASHDIR)/activatorctl'
	$(B)/activatorctl completion zsh >'$(DESTDIR)$(ZSHDIR)/_activatorctl'
	$(B)/activatorctl completion fish >'$(DESTDIR)$(FISHDIR)/activatorctl.fish'
	for page in $(PAGES); do \
		install -m 644 $(B)/man/$$page '$(DESTDIR)$(MANDIR)'/man$${page##*.} || exit 1; \
	done
	install -d '$(DESTDIR)$(PREFIX)/share/activator'
	install -m 644 conf/systemd/autoscaler-*.conf '$(DESTDIR)$(PREFIX)/share/activator'
	install -m 644 conf/systemd/activator.socket '$(DESTDIR)$(UNITDIR)'
	for unit in activator autoscaler; do \
		sed 's|@SBINDIR@|$(SBINDIR)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g' \
			conf/systemd/$$unit.service >'$(DESTDIR)$(UNITDIR)'/$$unit.service || exit 1; \
	done
	install -m 644 conf/activator.conf '$(DESTDIR)$(SYSCONFDIR)/activator/activator.conf.example'
	[ -e '$(DESTDIR)$(SYSCONFDIR)/activator/activator.conf' ] || \
		install -m 640 conf/activator.conf '$(DESTDIR)$(SYSCONFDIR)/activator/activator.conf'

format: ## clang-format every C file in place
	@.ci/deps $(PKG_FORMAT)
	clang-format -i $(wildcard common/*.[ch] activator/*.[ch] activator/*/*.[ch] autoscaler/*.[ch] autoscaler/*/*.[ch] test/*/*.[ch])

clean: ## remove build/
	rm -rf build

help: ## print this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 18
	@echo "SAN=address or SAN=thread before a target: with that sanitiser, in build/\$$SAN"

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
FORCE:
.PHONY: FORCE all apps test checks lint unit system test-kubernetes kubernetes-system chaos soak systemd usage-kills knative-kills fuzz fuzz-all bench deps build-deps run man install format clean help
.SECONDARY:
