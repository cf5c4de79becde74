# SPDX-License-Identifier: Apache-2.0
# Builds everything with one make. `make help` lists the targets.
#   O=DIR        where the build goes (default build)
#   SAN=1        AddressSanitizer and UndefinedBehaviorSanitizer
#   WERROR=1     warnings are errors
#   V=1          print every command
#   PREFIX, BINDIR, LIBDIR, DATADIR, MANDIR, DOCDIR, DESTDIR  where it is installed
O       ?= build
# One name for the folder, however it is typed: the lists of headers (*.d) name the objects by it.
override O := $(patsubst $(CURDIR)/%,%,$(O))
# Where `make install` puts files, each also by its GNU name (prefix, bindir ...); DESTDIR goes before all.
PREFIX  ?= $(or $(prefix),/usr/local)
BINDIR  ?= $(or $(bindir),$(PREFIX)/bin)
LIBDIR  ?= $(or $(libdir),$(PREFIX)/lib)
DATADIR ?= $(or $(datadir),$(datarootdir),$(PREFIX)/share)
MANDIR  ?= $(or $(mandir),$(DATADIR)/man)
DOCDIR  ?= $(or $(docdir),$(DATADIR)/doc/sft)
CC      ?= cc
AR      ?= ar
Q        = $(if $(V),,@)

CFLAGS  ?= -O2 -g
WARN     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
           -Wwrite-strings -Wformat=2 -Wundef -Wdate-time $(if $(WERROR),-Werror)
SAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZE = $(if $(SAN),$(SAN_FLAGS))
# Against what a hostile file may still find: checked copies, guarded stacks, tables of addresses that
# cannot be written. A packager's own level of _FORTIFY_SOURCE stays, and it needs an optimization.
FORTIFY  = $(if $(SAN)$(findstring _FORTIFY_SOURCE,$(CFLAGS) $(CPPFLAGS))$(filter -O0,$(CFLAGS)),,$(if \
           $(filter -O%,$(CFLAGS)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
HARDEN   = -fstack-protector-strong $(FORTIFY)
RELRO    = -Wl,-z,relro,-z,now
# The same bytes in any folder: objects do not name the one that they were built in.
MAPPED   = -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(O)/gen=gen
FLAGS    = $(MAPPED) -std=c11 -D_GNU_SOURCE -Ilib -I$(O)/gen -pthread -fvisibility=hidden $(HARDEN) $(WARN) $(SANITIZE)

all: tools trainer man

# The libraries and tools that were found, and where; made by compiling a line against each library.
# (Not for goals that build nothing: they must work before the libraries are there.)
PASSIVE := demo test test-oracle bench deps clean help format uninstall dist check-tutorial
GOALS   := $(filter-out $(PASSIVE),$(or $(MAKECMDGOALS),all))
ifneq ($(GOALS),)
-include $(O)/config.mk
endif
TOOLS   := sft-tokenize sft-template sft-pack sft-view sft-config sft-ckpt sft-report
# The commands in TOOLS need no OpenMP and no oneDNN; all else does, and then probes for them again.
ONLY_TOOLS = $(if $(filter-out tools $(TOOLS:%=$(O)/bin/%),$(GOALS)),,tools)
$(O)/config.mk: tools/probe
	@mkdir -p $(O)
	@CC="$(CC)" tools/probe $@ $(ONLY_TOOLS)
# An MPI that was installed since then is noticed.
ifneq ($(ZSTD_LIBS),)
ifeq ($(MPICC_SEEN),)
ifneq ($(shell command -v mpicc 2>/dev/null),)
.PHONY: mpicc-appeared
$(O)/config.mk: mpicc-appeared
endif
endif
ifeq ($(ONLY_TOOLS),)
ifneq ($(LACKING),)
.PHONY: trainer-wanted
$(O)/config.mk: trainer-wanted
endif
endif
endif

# ---- sources: a folder of lib/ is a module and becomes an archive ----
MODULES  := $(notdir $(patsubst %/,%,$(wildcard lib/*/)))
TRAINER  := sft-train sft-eval
COMMANDS := $(TOOLS) $(TRAINER)
# The modules that the commands in TOOLS link; none of them includes OpenMP or oneDNN.
TOOL_MODULES := base chat config hf jinja model pack regex rows save stream text unicode

obj      = $(patsubst %.c,$(O)/obj/%.o,$(1))
lib_src  = $(filter-out %_plugin.c,$(wildcard lib/$(1)/*.c))

# Plugins are loaded by the trainer when it is started under a launcher; nothing links them.
PLUGINS := $(if $(MPICC),$(O)/lib/sft/mpi.so) $(if $(NVCC),$(O)/lib/sft/cuda.so)

# lib/ops/ref is compiled for float and for double; lib/ops/cpu once for each instruction set, the
# best of which is chosen when a program starts.
REF_SRC := $(wildcard lib/ops/ref/*.c)
CPU_SRC := $(wildcard lib/ops/cpu/*.c)
REF_OBJ := $(foreach r,f32 f64,$(patsubst %.c,$(O)/obj/%.$(r).o,$(REF_SRC)))
CPU_OBJ := $(foreach i,$(CPU_ISAS),$(patsubst %.c,$(O)/obj/%.$(i).o,$(CPU_SRC)))

ARCHIVES := $(MODULES:%=$(O)/lib/%.a)
TOOL_ARCHIVES := $(TOOL_MODULES:%=$(O)/lib/%.a)
LIBS      = $(CJSON_LIBS) $(ZSTD_LIBS) $(ZLIB_LIBS) $(YAML_LIBS) $(DNNL_LIBS) -ldl -lm
# LINK OBJECTS: with the archives that the target depends on
LINK      = $(CC) $(CFLAGS) $(SANITIZE) -pthread $(OPENMP) $(RELRO) $(LDFLAGS) $(BUNDLED) -Wl,--as-needed -o $@ $(1) \
            -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

tools:   $(TOOLS:%=$(O)/bin/%)
trainer: $(TRAINER:%=$(O)/bin/%) $(PLUGINS)

define module_rule
$(O)/lib/$(1).a: $(call obj,$(call lib_src,$(1))) $(if $(filter ops,$(1)),$(REF_OBJ) $(CPU_OBJ))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$$(AR) rcsD $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call module_rule,$(m))))

# The version, the commit and the dates of manual pages; the file changes only when one of them does.
$(O)/version: FORCE
	@mkdir -p $(@D)
	@tools/version $@
$(O)/gen/version.c: $(O)/version
	@mkdir -p $(@D)
	@{ echo '#include "base/version.h"'; for n in version commit; do \
		echo "const char sft_$$n[] = \"$$(sed -n "s/^$$n //p" $<)\";"; done; } >$@
$(O)/obj/version.o: $(O)/gen/version.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(FLAGS) $(CFLAGS) -c $< -o $@

# command_rule COMMAND, ARCHIVES
define command_rule
$(O)/bin/$(1) $(O)/bundle/bin/$(1): $(call obj,$(wildcard cmd/$(1)/*.c)) $(O)/obj/version.o $(2)
	@mkdir -p $$(@D)
	@echo "  link  $$@"
	$$(Q)$$(call LINK,$(call obj,$(wildcard cmd/$(1)/*.c)) $(O)/obj/version.o)
$(O)/bundle/bin/$(1): $(O)/bin/$(1)
endef
$(foreach c,$(TOOLS),$(eval $(call command_rule,$(c),$(TOOL_ARCHIVES))))
$(foreach c,$(TRAINER),$(eval $(call command_rule,$(c),$(ARCHIVES))))

$(O)/lib/sft/mpi.so: lib/comm/mpi_plugin.c lib/comm/plugin.h lib/base/err.h $(O)/config.mk
	@mkdir -p $(@D)
	@echo "  mpicc $@"
	$(Q)OMPI_CC="$(CC)" MPICH_CC="$(CC)" $(MPICC) $(CPPFLAGS) $(FLAGS) $(CFLAGS) $(RELRO) $(LDFLAGS) -fPIC -shared -o $@ $<

# The CUDA backend: kernels for sm_80 and sm_90a, with their PTX. Its libraries are found where the
# compiler has them, or by LD_LIBRARY_PATH.
CUDA_HOME  = $(abspath $(dir $(NVCC))..)
CUDA_LINK  = -Xlinker --enable-new-dtags,-rpath,$(CUDA_HOME)/lib64,-z,relro,-z,now
NVCC_FLAGS = -std=c++17 -O3 -lineinfo --no-compress -Ilib -I. -Xcompiler -fPIC,-fvisibility=hidden,-fstack-protector-strong,-Wall \
             $(if $(WERROR),-Werror all-warnings) -gencode arch=compute_80,code=[sm_80,compute_80] \
             -gencode arch=compute_90a,code=[sm_90a,compute_90a]
CUDA_OBJ  := $(patsubst %.cu,$(O)/obj/%.o,$(wildcard kernels/*.cu)) \
             $(patsubst %,$(O)/obj/lib/%.pic.o,ops/cuda_plugin ops/cuda_rules comm/nccl_plugin base/err)
$(O)/obj/kernels/%.o: kernels/%.cu $(wildcard kernels/*.cuh kernels/*.h) lib/ops/ops.h lib/ops/dropout.h lib/ops/cuda_rules.h lib/base/dtype.h tools/hot
	@mkdir -p $(@D)
	@echo "  nvcc  $<"
	$(Q)$(NVCC) $(NVCC_FLAGS) -Xptxas -v -c $< -o $@ 2>$(@:.o=.ptxas) && rc=0 || rc=$$?; \
		grep -vE '^ptxas info|^ +[0-9]+ bytes (stack|gmem)' $(@:.o=.ptxas) >&2; exit $$rc
$(O)/obj/%.pic.o: %.c $(O)/config.mk
	@mkdir -p $(@D)
	@echo "  cc    $<"
	$(Q)$(CC) $(CPPFLAGS) $(FLAGS) -I. -I$(CUDA_HOME)/include $(CFLAGS) -fPIC -MMD -MP -c $< -o $@
# kernels/HOT lists kernels of which ptxas must have made what they are for.
$(O)/lib/sft/cuda.so: $(CUDA_OBJ) kernels/HOT tools/hot
	@mkdir -p $(@D)
	@echo "  nvcc  $@"
	$(Q)tools/hot kernels/HOT $(filter $(O)/obj/kernels/%,$(CUDA_OBJ))
	$(Q)$(NVCC) -shared -cudart shared $(CUDA_LINK) -o $@ $(CUDA_OBJ) -lcublasLt

# The programs of `make check-gpu`, which needs a GPU; tests/gpu/run says what it checks. The
# operations are those of the plugin that is installed.
GPU_NAMES := probe ops random nccl beside rates attention train_random
GPU_TEST  := $(GPU_NAMES:%=$(O)/gpu/%) $(O)/gpu/memory.so $(O)/conform/conform
CUDA_LIBS  = $(CUDA_HOME)/lib64/libcudart.so.13 $(CUDA_HOME)/lib64/libcublasLt.so.13 \
             -Wl,--enable-new-dtags,-rpath,$(CUDA_HOME)/lib64
WRAPPED    = -Wl,--wrap=safetensors_open,--wrap=weights_load,--wrap=weights_check
# gpu_rule NAME, OBJECTS, FLAGS: a program, and its like in the bundle
define gpu_rule
$(O)/gpu/$(1) $(O)/bundle/gpu/$(1): $(2) $(O)/lib/sft/cuda.so $(ARCHIVES)
	@mkdir -p $$(@D)
	@echo "  link  $$@"
	$$(Q)$$(call LINK,$(2) $(3))
$(O)/bundle/gpu/$(1): $(O)/gpu/$(1)
endef
$(foreach p,ops random nccl beside rates attention,$(eval $(call gpu_rule,$(p),$(O)/obj/tests/gpu/$(p).o)))
$(eval $(call gpu_rule,probe,$(O)/obj/tests/gpu/probe.o,$$(CUDA_LIBS)))
# sft-train with random weights; see tests/gpu/random_weights.c.
$(eval $(call gpu_rule,train_random,$(call obj,tests/gpu/random_weights.c $(wildcard cmd/sft-train/*.c)),$$(WRAPPED)))
$(O)/obj/tests/gpu/%.o: FLAGS += -Itests
$(O)/obj/tests/gpu/probe.o: FLAGS += -isystem $(CUDA_HOME)/include
$(O)/gpu/memory.so: tests/gpu/memory.c
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -fPIC -pthread -shared -fvisibility=hidden -o $@ $< -ldl
$(O)/conform/conform: tests/emu/build_conform $(wildcard tests/emu/conform*)
	@mkdir -p $(@D)
	@echo "  nvcc  $@"
	$(Q)PATH="$(dir $(NVCC)):$$PATH" JOBS=$(shell nproc) OPT=-O0 tests/emu/build_conform 90 $@
check-gpu: $(if $(NVCC),all $(GPU_TEST))
	@$(if $(NVCC),O=$(O) tests/gpu/run $(GROUP),echo 'check-gpu: no nvcc was found; unpack a bundle here'; exit 69)

# One archive for a machine with a GPU and without a compiler. Its programs are linked to find the
# libraries that they need beside the plugins.
BUNDLED_FLAGS = -s -Wl,--enable-new-dtags,-rpath,'$$ORIGIN/../lib/sft' -Wl,--no-as-needed \
                $$(tools/bundle --libraries $(patsubst $(O)/bundle/%,$(O)/%,$@))
BUNDLED = $(if $(filter $(O)/bundle/%,$@),$(BUNDLED_FLAGS))
bundle: $(if $(NVCC),all $(GPU_TEST) $(COMMANDS:%=$(O)/bundle/bin/%) $(GPU_NAMES:%=$(O)/bundle/gpu/%))
	@$(if $(NVCC),tools/bundle $(O),echo 'bundle: no nvcc was found, so there is no CUDA plugin to bundle'; exit 69)

# An emulated device: libraries that stand in for CUDA's where LD_LIBRARY_PATH finds them. They
# execute the PTX in the plugin. tests/emu/emu.h says how.
EMU       := $(O)/emu/libcuda.so.1 $(O)/emu/libcudart.so.13 $(O)/emu/libcublasLt.so.13 $(O)/emu/libnccl.so.2
EMU_OBJ   := $(call obj,$(wildcard tests/emu/*.c))
EMU_FLAGS := -std=gnu11 -O3 -g -march=native -fopenmp -fPIC -ffp-contract=off -fno-strict-aliasing \
             -ftls-model=initial-exec -fno-semantic-interposition -Wall -Wextra $(if $(WERROR),-Werror)
EMU_LINK   = $(CC) -shared -fopenmp -pthread -Wl,-Bsymbolic -Wl,-soname,$(@F) \
             -Wl,--version-script,$(filter %.map,$^) -o $@ $(filter %.o %.13,$^) -lm
$(EMU_OBJ): $(O)/obj/%.o: %.c $(wildcard tests/emu/*.h) lib/comm/nccl_abi.h
	@mkdir -p $(@D)
	@echo "  cc    $<"
	$(Q)$(CC) $(EMU_FLAGS) -I$(CUDA_HOME)/include -c $< -o $@
$(O)/emu/libcuda.so.1: $(O)/obj/tests/emu/driver.o tests/emu/cuda.map
$(O)/emu/libcudart.so.13: $(filter-out %/cublaslt.o %/driver.o %/nccl.o %/nccl_work.o %/wire.o,$(EMU_OBJ)) tests/emu/cudart.map
$(O)/emu/libcublasLt.so.13: $(O)/obj/tests/emu/cublaslt.o tests/emu/cublaslt.map $(O)/emu/libcudart.so.13
$(O)/emu/libnccl.so.2: $(O)/obj/tests/emu/nccl.o $(O)/obj/tests/emu/nccl_work.o $(O)/obj/tests/emu/wire.o tests/emu/nccl.map $(O)/emu/libcudart.so.13
$(EMU):
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(EMU_LINK)
emu: $(EMU)
check-emu: $(if $(NVCC),all unit emu bundle)
	@$(if $(NVCC),O=$(O) JOBS=2 tests/run emu_ops emu_train emu_broken emu_ranks emu_device emu_check_gpu emu_random emu_conform emu_ring, \
		echo 'check-emu: no nvcc was found, so there is no CUDA plugin to execute')

$(O)/obj/%.o: %.c $(O)/config.mk
	@mkdir -p $(@D)
	@echo "  cc    $<"
	$(Q)$(CC) $(CPPFLAGS) $(FLAGS) $(PROBED) $(CFLAGS) -MMD -MP -c $< -o $@

$(O)/obj/lib/ops/%.o: FLAGS += $(OPENMP)

# The inner loops read no file: they are compiled as they are fastest.
$(O)/obj/lib/ops/ref/%.o $(O)/obj/lib/ops/cpu/%.o: HARDEN =

# No contraction to fused multiply-add in the reference: its results must not depend on the CPU.
$(O)/obj/lib/ops/ref/%.f32.o: lib/ops/ref/%.c $(O)/config.mk
	@mkdir -p $(@D)
	@echo "  cc    $<"
	$(Q)$(CC) $(CPPFLAGS) $(FLAGS) $(CFLAGS) -ffp-contract=off -DREAL=float -DREAL_F32 -MMD -MP -c $< -o $@
$(O)/obj/lib/ops/ref/%.f64.o: lib/ops/ref/%.c $(O)/config.mk
	@mkdir -p $(@D)
	@echo "  cc    $<"
	$(Q)$(CC) $(CPPFLAGS) $(FLAGS) $(CFLAGS) -ffp-contract=off -DREAL=double -DREAL_F64 -MMD -MP -c $< -o $@

define isa_rule
$(O)/obj/lib/ops/cpu/%.$(1).o: lib/ops/cpu/%.c $(O)/config.mk
	@mkdir -p $$(@D)
	@echo "  cc    $$<"
	$$(Q)$$(CC) $$(CPPFLAGS) $$(FLAGS) $$(PROBED) $$(CFLAGS) -O3 $$(OPENMP) $$(ISA_$(1)) -DISA=$(1) -DISA_$(1) \
		-MMD -MP -c $$< -o $$@
endef
$(foreach i,$(CPU_ISAS),$(eval $(call isa_rule,$(i))))

# ---- tests ----
UNIT     := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*.c))
UNIT_BIN := $(UNIT:%=$(O)/test/%)
$(O)/test/%: $(O)/obj/tests/unit/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(call LINK,$<)
$(O)/obj/tests/%.o: FLAGS += -Itests
$(O)/obj/tests/%.o: HARDEN =

# The table of layouts of ranks, and the same with a fault in it: tests/dist/broken.tsv lists edits
# of a source of the library, which is linked before the archive that has it whole.
BROKEN   := $(shell sed -n 's/^\([a-z_]*\)\t.*/\1/p' tests/dist/broken.tsv)
DIST_BIN := $(O)/dist/grid $(BROKEN:%=$(O)/dist/grid_%)
$(O)/dist/grid: $(O)/obj/tests/dist/grid.o $(ARCHIVES)
$(BROKEN:%=$(O)/dist/grid_%): $(O)/dist/grid_%: $(O)/obj/tests/dist/grid.o $(O)/dist/%.o $(ARCHIVES)
$(O)/dist/grid $(BROKEN:%=$(O)/dist/grid_%):
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(call LINK,$(filter %.o,$^))
$(BROKEN:%=$(O)/dist/%.o): $(O)/dist/%.o: tests/dist/break tests/dist/broken.tsv $(wildcard lib/*/*.[ch])
	@mkdir -p $(@D)
	@echo "  cc    $@"
	$(Q)tests/dist/break $* >$(@:.o=.c)
	$(Q)$(CC) $(CPPFLAGS) $(FLAGS) $(PROBED) $(CFLAGS) -c $(@:.o=.c) -o $@

# Loaded before a command by a test.
PRELOAD  := $(patsubst tests/preload/%.c,$(O)/test/%.so,$(wildcard tests/preload/*.c))
$(O)/test/%.so: tests/preload/%.c
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -fPIC -shared -fvisibility=hidden -o $@ $< -ldl

FAULT    := $(O)/test/fault $(O)/test/power
# Programs that run a command, or rebuild its folder, with a fault. They trace: no sanitizer.
$(O)/test/%: tests/fault/%.c $(wildcard tests/fault/*.[ch])
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -o $@ $< $(wildcard tests/fault/$*_*.c)

# sft-train with a system call that kills it; see tests/kill/kill_at.c.
$(O)/test/train_kill: $(call obj,tests/kill/kill_at.c $(wildcard cmd/sft-train/*.c)) $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(call LINK,$(filter %.o,$^))

unit: $(UNIT_BIN) $(DIST_BIN) $(O)/test/train_kill $(FAULT) $(PLUGINS) $(PRELOAD)
check: all unit man
	O=$(O) SAN=$(SAN) tests/run
# These install what is missing first, so they ask make again for what they need.
AGAIN = +@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
test:
	@tools/deps build test
	$(AGAIN) check
test-oracle:
	@tools/deps build oracle
	$(AGAIN) all
	@O=$(O) tests/oracle/run
# Every fault that the tests know, everywhere; SUITES='faults corpus': only these
scoreboard: all unit
	@O=$(O) tests/scoreboard $(SUITES)
demo:
	@tools/deps build demo
	$(AGAIN) all
	@O=$(O) examples/demo
# BENCH_TORCH=0: without PyTorch; PARTS='data train': only these
bench:
	@tools/deps build test $(if $(filter 0,$(BENCH_TORCH)),,oracle bench)
	$(AGAIN) all $(O)/test/bench_gemm
	@O=$(O) tests/bench/run

# Every parser on generated input for FUZZ_SECONDS each, under the sanitizers; needs clang. The build
# is one of its own, by the rules above. The inputs begin with those in tests/fuzz/seeds/NAME; what a
# target finds is kept in $(O)/fuzz, and its corpus too.
FUZZ_SECONDS ?= 60
FUZZ     := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_MAKE = $(MAKE) --no-print-directory O=$(O)/fuzz/build CC=clang SAN=1 CFLAGS='-g -O1 -fsanitize=fuzzer-no-link'
# Parsers that are a command's own.
REPORT   := $(call obj,$(filter-out %/main.c,$(wildcard cmd/sft-report/*.c))) $(O)/obj/version.o
$(O)/fuzzer/fuzz_report: $(REPORT)
$(O)/fuzzer/%: $(O)/obj/tests/fuzz/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(call LINK,-fsanitize=fuzzer $(filter %.o,$^))
fuzzers: $(FUZZ:%=$(O)/fuzzer/%)
fuzz:
	+@$(FUZZ_MAKE) fuzzers
	@failed=0; for f in $(FUZZ); do \
		echo "== $$f"; mkdir -p $(O)/fuzz/$$f.corpus; seeds=tests/fuzz/seeds/$$f; [ -d $$seeds ] || seeds=; \
		$(O)/fuzz/build/fuzzer/$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
			-print_final_stats=1 -artifact_prefix=$(O)/fuzz/$$f- $(O)/fuzz/$$f.corpus $$seeds \
			>$(O)/fuzz/$$f.log 2>&1 || { failed=1; tail -n 30 $(O)/fuzz/$$f.log; }; \
		grep number_of_executed $(O)/fuzz/$$f.log; \
	done; exit $$failed

# The unit test of the same name runs every target on its seeds.
REPLAY   := $(FUZZ:%=$(O)/obj/tests/fuzz/%.replay.o)
$(O)/test/fuzz_replay: $(O)/obj/tests/unit/fuzz_replay.o $(REPLAY) $(REPORT) $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  link  $@"
	$(Q)$(call LINK,$(filter %.o,$^))
$(REPLAY): $(O)/obj/tests/fuzz/%.replay.o: tests/fuzz/%.c $(O)/config.mk
	@mkdir -p $(@D)
	@echo "  cc    $< (replay)"
	$(Q)$(CC) $(CPPFLAGS) $(FLAGS) $(PROBED) $(CFLAGS) -DLLVMFuzzerTestOneInput=$* -MMD -MP -c $< -o $@

# ---- manual pages: the option table's part from the command itself, the rest by hand ----
# Pages of commands are man/NAME.in, others have the section in their name; tools/manpage says what it adds.
MAN := $(patsubst man/%.in,$(O)/man/%.1,$(wildcard man/sft-*.in)) \
       $(patsubst man/%.in,$(O)/man/%,$(wildcard man/*.[57].in))
man: $(MAN)
MANPAGE = tools/manpage -v name=$(<F) -v facts=$(O)/version
man_parts := tools/manpage man/exit-status.tsv $(O)/version
$(O)/man/sft-run.1: $(O)/man/%.1: man/%.in $(man_parts)
	@mkdir -p $(@D)
	$(Q)$(MANPAGE) <$< >$@
$(O)/man/%.1: man/%.in $(man_parts) $(O)/bin/%
	@mkdir -p $(@D)
	$(Q){ $(O)/bin/$* --help-man && cat $<; } | $(MANPAGE) >$@
$(filter-out %.1,$(MAN)): $(O)/man/%: man/%.in $(man_parts) docs/stream.md docs/config.md
	@mkdir -p $(@D)
	$(Q)$(MANPAGE) <$< >$@

# The trainer looks for its plugins in LIBDIR/sft, whose path from BINDIR is compiled in. So the
# installed tree can be moved as a whole, and another PREFIX compiles nothing anew.
PLUGIN_FOLDER := $(shell realpath -m --relative-to='$(BINDIR)' '$(LIBDIR)/sft')
$(O)/gen/plugin_folder: FORCE
	@mkdir -p $(@D)
	@echo '$(PLUGIN_FOLDER)' | cmp -s - $@ || echo '$(PLUGIN_FOLDER)' >$@
$(O)/obj/lib/base/plugin.o: $(O)/gen/plugin_folder
$(O)/obj/lib/base/plugin.o: FLAGS += -DPLUGIN_FOLDER='"$(PLUGIN_FOLDER)"'

# ---- the rest ----
deps:
	@tools/deps build test demo oracle

# ---- installation ----
SHELLS := bash zsh fish
completions: $(foreach s,$(SHELLS),$(COMMANDS:%=$(O)/completions/%.$(s)) $(O)/completions/sft-run.$(s))
define completion_rule
$(O)/completions/%.$(1): $(O)/bin/%
	@mkdir -p $$(@D)
	$$(Q)$(O)/bin/$$* --help-complete=$(1) >$$@
endef
$(foreach s,$(SHELLS),$(eval $(call completion_rule,$(s))))
# The wrapper's are written by hand, but for the keys of overrides.
KEYS = $(O)/bin/sft-config --keys | sed -n '/^\#\# Keys that sft-train/q; s/^| `\([^`*]*\)` .*/\1=/p' | LC_ALL=C sort -u | paste -sd' '
$(SHELLS:%=$(O)/completions/sft-run.%): $(O)/completions/sft-run.%: share/completions/sft-run.% $(O)/bin/sft-config
	@mkdir -p $(@D)
	$(Q)keys=$$($(KEYS)) && sed "s/@KEYS@/$$keys/" $< >$@

# The files that are installed, as MODE:FILE:KIND/PLACE (tools/place): completions where each shell
# looks for those of programs, the documents as README.md links them.
placed = $(foreach n,$(2),$(1):$(3)$(n)$(5):$(4)$(n)$(6))
# completed SHELL, FOLDER AND PREFIX, SUFFIX
completed = $(call placed,644,$(COMMANDS) sft-run,$(O)/completions/,data/$(2),.$(1),$(3))
PLACED   := $(call placed,755,$(COMMANDS),$(O)/bin/,bin/) 755:run_sft_pipeline.sh:bin/sft-run \
            $(foreach s,1 5 7,$(call placed,644,$(notdir $(filter %.$s,$(MAN))),$(O)/man/,man/man$s/)) \
            $(call completed,bash,bash-completion/completions/) \
            $(call completed,zsh,zsh/site-functions/_) \
            $(call completed,fish,fish/vendor_completions.d/,.fish) \
            $(call placed,644,README.md LICENSE CHANGELOG.md $(wildcard docs/*.md),,doc/) \
            $(call placed,644,$(filter-out %.sh examples/data examples/demo,$(wildcard examples/*.json examples/*/*)),,doc/) \
            $(call placed,755,$(wildcard examples/*/*.sh),,doc/) \
            $(call placed,644,$(wildcard share/tiny-tokenizer/*),,doc/) \
            755:share/slurm/train.sbatch:data/sft/train.sbatch \
            $(call placed,755,$(notdir $(wildcard share/bridges/sft-to-*)),share/bridges/,data/sft/bridges/) \
            644:share/bridges/sft_follow.py:data/sft/bridges/sft_follow.py
PLACE    = DESTDIR='$(DESTDIR)' BINDIR='$(BINDIR)' LIBDIR='$(LIBDIR)' MANDIR='$(MANDIR)' DATADIR='$(DATADIR)' \
           DOCDIR='$(DOCDIR)' STRIP=$(STRIP) tools/place
install: all man completions
	@$(PLACE) install $(PLACED) $(call placed,644,$(notdir $(PLUGINS)),$(O)/lib/sft/,lib/sft/)
install-strip:
	@$(MAKE) --no-print-directory STRIP=1 install
uninstall:
	@$(PLACE) remove $(PLACED) :x:lib/sft/mpi.so :x:lib/sft/cuda.so

# ---- releases ----
dist:
	@tools/dist $(O)
# Two builds of the tarball, in two folders, compared: all files that are installed.
check-reproducible: dist
	@tests/release/reproducible $(O)
# Packages for Debian, and whether they install and work in a new system; that needs root and a mirror.
deb: all man completions
	@tools/deb $(O)
check-deb: deb
	@tools/deps deb
	@tests/release/deb $(O)
# docs/tutorial.md as it is written, in a new system; needs the same, and takes a quarter of an hour
check-tutorial:
	@tools/deps deb
	@tests/release/tutorial $(O)
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
clean:
	rm -rf $(O)
help:
	@echo 'all tools man demo test test-oracle bench fuzz scoreboard check check-emu check-gpu bundle completions install install-strip uninstall dist check-reproducible deb check-deb check-tutorial format clean deps'

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
.PHONY: FORCE completions scoreboard check-gpu check-emu bundle emu all fuzz fuzzers man tools trainer unit check test test-oracle demo bench deps install install-strip uninstall dist check-reproducible deb check-deb check-tutorial format clean help
.SECONDARY:
