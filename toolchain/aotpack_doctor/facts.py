"""Everything that checks look at, as values: read once, constructible by hand. None: not looked at, or not known."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

#: Where torch's headers declare the C shim, below an include folder, and the header that says whether they are there.
SHIM_HEADERS = "torch/csrc/inductor/aoti_torch"
SHIM_HEADER = f"{SHIM_HEADERS}/c/shim.h"


class Program(NamedTuple):
    """A tool: where it is (None: nowhere) and its version (None: not known)."""

    path: str | None
    version: str | None = None


class Tools(NamedTuple):
    """What a build uses.

    Attributes:
        compiler: the C++ compiler that a build would take.
        c_compiler: the one for C.
        compiler_kind: `gcc` or `clang`; None when it is neither.
        sandbox: what `aotpack verify --run` would use; None when there is nothing.
    """

    compiler: Program
    c_compiler: Program
    compiler_kind: str | None
    cmake: Program
    ninja: Program
    patchelf: Program
    strip: Program
    sandbox: str | None


class Disk(NamedTuple):
    """Room where the bundle is to be written, in bytes; `needed` is an estimate from the torch at hand."""

    path: str
    free: int
    needed: int


class Node(NamedTuple):
    """A device node, and whether this user may read and write it."""

    path: str
    usable: bool


class Gpu(NamedTuple):
    """One GPU: `sm_90` or `gfx90a` (None: not known), memory in bytes."""

    name: str | None
    arch: str | None
    memory: int | None = None


class Nvidia(NamedTuple):
    """The NVIDIA side of the machine.

    Attributes:
        module: version of the loaded kernel module.
        nodes: `/dev/nvidia0` and further GPUs, `/dev/nvidiactl`, `/dev/nvidia-uvm`.
        driver: version that NVML reports.
        nvml_error: NVML's number and text when it refused; number 0 when the library is not there.
        libcuda: the `libcuda.so.1` files that the loader would meet, in its order.
    """

    module: str | None = None
    nodes: tuple[Node, ...] = ()
    driver: str | None = None
    nvml_error: tuple[int, str] | None = None
    gpus: tuple[Gpu, ...] = ()
    libcuda: tuple[str, ...] = ()


class Amd(NamedTuple):
    """The AMD side of the machine.

    Attributes:
        module: whether amdgpu is loaded or built in.
        kfd: `/dev/kfd`.
        render: `/dev/dri/renderD*`.
        gpus: compute nodes that are GPUs, by the kernel's topology.
    """

    module: bool = False
    kfd: Node | None = None
    render: tuple[Node, ...] = ()
    gpus: tuple[Gpu, ...] = ()


class Toolkit(NamedTuple):
    """An installed CUDA or ROCm toolkit: its folder and version."""

    path: str
    version: str | None


class LibraryFolder(NamedTuple):
    """A folder of LD_LIBRARY_PATH: the shared libraries in it."""

    path: str
    libraries: tuple[str, ...]


class DriverFloor(NamedTuple):
    """The oldest NVIDIA driver: with all features (`release`) and at all (`minimum`)."""

    toolkit: str | None
    release: str | None
    minimum: str


class Host(NamedTuple):
    """The machine itself.

    Attributes:
        system: `Debian GNU/Linux 12 (bookworm)`.
        machine: uname's.
        kernel: uname's release.
        cpu_features: as the kernel or the bridge names them.
        tiles_refused: why the kernel gives no process the registers of AMX; None where it does or there are none.
        libc: `glibc` or `musl`; None when neither was found.
        libc_version, libstdcxx: of the machine's own files; `libstdcxx` such as `3.4.30`.
        container: `docker`, `podman`, ...; None outside of one.
        environment: the variables that change how libraries load or devices are chosen.
        library_path: LD_LIBRARY_PATH, folder by folder.
        preload: LD_PRELOAD, entry by entry; preload_missing: those that are files which do not exist.
    """

    system: str = "Linux"
    machine: str = "x86_64"
    kernel: str = ""
    cpu_model: str | None = None
    cpu_features: frozenset[str] | None = None
    tiles_refused: str | None = None
    libc: str | None = None
    libc_version: str | None = None
    libstdcxx: str | None = None
    container: str | None = None
    environment: dict[str, str] = {}  # noqa: RUF012  (never written to)
    library_path: tuple[LibraryFolder, ...] = ()
    preload: tuple[str, ...] = ()
    preload_missing: tuple[str, ...] = ()


class RocmTree(NamedTuple):
    """Libraries that look for data beside themselves.

    Attributes:
        hip_runtimes: paths of `libamdhip64` that are different files.
        no_data: (library, data folder) where the data is nowhere.
        lonely_links: (linked library, data folder) where only the link's target has it.
        search_kind: `RPATH` or `RUNPATH` of the HIP runtime's user; RPATH is immune to LD_LIBRARY_PATH.
    """

    hip_runtimes: tuple[str, ...] = ()
    no_data: tuple[tuple[str, str], ...] = ()
    lonely_links: tuple[tuple[str, str], ...] = ()
    search_kind: str | None = None


class PackageNeed(NamedTuple):
    """A package that torch's metadata asks for, and the version that is installed (None: it is not)."""

    name: str
    wanted: str
    installed: str | None


class OtherTorch(NamedTuple):
    """An environment that was not taken."""

    source: str
    path: str
    label: str


class Torch(NamedTuple):
    """The torch that a build would take, or why there is none.

    Attributes:
        problem: `none`, `broken`, `old` or `variant`; None when it is fine.
        explanation: what was seen, when there is a problem.
        label: `2.13.0+cpu (cpu)`.
        toolkit: CUDA or HIP version it was built with.
        archs: GPU code in its libraries: `sm_90`, `compute_90` (PTX), `gfx90a`; None when not looked at.
        headers: whether the C shim's headers are there.
        oldest_gcc: the oldest gcc that its headers accept.
        cxx11_abi: as its own files record it (None: they do not); `declared_abi` as LIBTORCH_CXX11_ABI says.
        needs: packages its metadata asks for and that are missing or of another version.
        user_site: whether Python would import it from the user site.
        others: environments with a torch that were not taken; `active` is the active one's path.
    """

    problem: str | None
    explanation: str = ""
    version: str | None = None
    variant: str | None = None
    label: str = ""
    source: str = ""
    path: str = ""
    toolkit: str | None = None
    archs: tuple[str, ...] | None = None
    headers: bool = True
    oldest_gcc: int | None = None
    cxx11_abi: bool | None = None
    declared_abi: str | None = None
    needs: tuple[PackageNeed, ...] = ()
    user_site: str | None = None
    others: tuple[OtherTorch, ...] = ()
    active: str | None = None
    rocm: RocmTree | None = None


class Variant(NamedTuple):
    """One of several compiled forms of a model."""

    name: str
    device: str
    cpu_features: tuple[str, ...]
    gpu_archs: tuple[str, ...] = ()


class Model(NamedTuple):
    """One model: a package, or one inside a bundle.

    Attributes:
        problem: why it cannot be read; everything else is then unknown.
        device: `cpu`, `cuda` or `rocm`.
        torch_version: that compiled it.
        gpu_archs: GPU code inside.
        variants: its forms, the least demanding first, of which the other fields tell; none where it has one.
        int4_order: libtorch's kind of CPU whose order its weights of four bits lie in; None where it has none.
        multiplies_bytes: whether layers of it multiply bytes by bytes.
        packed_halves: `bfloat16` and `float16`, where oneDNN has packed weights of such layers for libtorch.
        missing_symbols: imported symbols that no library of the bundle's runtime exports.
        needs_proxy: whether it calls ops that have no C shim.
        custom_ops: such ops that are not torch's own.
        described: whether it carries aotpack's description.
    """

    name: str
    problem: str | None = None
    device: str = "cpu"
    machine: str | None = None
    torch_version: str | None = None
    cpu_features: tuple[str, ...] = ()
    gpu_archs: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    glibc: str | None = None
    glibcxx: str | None = None
    int4_order: str | None = None
    multiplies_bytes: bool = False
    packed_halves: tuple[str, ...] = ()
    missing_symbols: tuple[str, ...] = ()
    needs_proxy: bool = False
    custom_ops: tuple[str, ...] = ()
    described: bool = True


class FaultKind(str, Enum):
    """What sort of thing is wrong with a file of a bundle."""

    MISSING = "missing"
    #: Another size, another content or another sort of file than was sealed.
    CHANGED = "changed"
    #: Not executable as it was sealed, where this matters to nobody but whoever copies it on.
    MODE = "mode"
    #: Not part of the bundle.
    FOREIGN = "foreign"
    #: A search path that leaves the bundle.
    OUTSIDE_PATH = "outside path"
    OUTSIDE_LINK = "outside link"
    #: A link that leads nowhere.
    DANGLING = "dangling"
    #: A library that asks for an executable stack.
    STACK = "stack"
    #: A library whose thread-local storage a program has no room for once it runs.
    EARLY = "early"
    #: Code for another type of machine than the bundle is for.
    MACHINE = "machine"
    #: A library that nothing provides.
    UNRESOLVED = "unresolved"
    #: What bundle.json and a model's own description say is not the same.
    DISAGREES = "disagrees"
    #: This user may not read it, or not execute what must be executed.
    UNREADABLE = "unreadable"
    #: Memory or open files ran out before it was looked at.
    SHORTAGE = "shortage"
    #: LD_LIBRARY_PATH or LD_PRELOAD, the fault's `what`, would replace it.
    SHADOWED = "shadowed"


class Fault(NamedTuple):
    """One thing wrong with one file of a bundle."""

    path: str
    what: str
    kind: FaultKind


class Bundle(NamedTuple):
    """A bundle on disk.

    Attributes:
        problem: why its description cannot be used.
        floors: the least it asks of the machine: glibc, kernel, embedding_glibc, embedding_glibcxx, driver.
        faults: what is wrong with its files; contents count once they were compared.
        noexec: the mount point, when the file system forbids execution.
        edges: (file, file it needs), for the report.
        sizes: (path, part, bytes).
        unlicensed: components whose licence the bill of materials does not say.
        is_single: whether it is one file.
        signed: the signature that holds, where a key was given to ask for one.
        unsigned: why none does.
    """

    path: str
    problem: str | None = None
    backend: str = "cpu"
    runtime: str = "full"
    portable: bool = True
    libc: str = "bundled"
    machine: str | None = None
    torch_version: str | None = None
    gpu_archs: tuple[str, ...] = ()
    cpu_features: tuple[str, ...] = ()
    floors: dict[str, str] = {}  # noqa: RUF012  (never written to)
    faults: tuple[Fault, ...] = ()
    noexec: str | None = None
    rocm: RocmTree | None = None
    edges: tuple[tuple[str, str], ...] = ()
    sizes: tuple[tuple[str, str, int], ...] = ()
    unlicensed: tuple[str, ...] = ()
    is_single: bool = False
    signed: str | None = None
    unsigned: str | None = None

    def faults_of(self, *kinds: FaultKind) -> tuple[Fault, ...]:
        """What is wrong of these sorts."""
        return tuple(fault for fault in self.faults if fault.kind in kinds)


class HostFacts(NamedTuple):
    """All facts of one run of the doctor.

    Attributes:
        backend: what is to be built or run.
        runs_here: whether the model is to run on this machine; a build machine may lack a GPU.
        driver_floor: for the torch or the bundle at hand.
    """

    backend: str = "cpu"
    runs_here: bool = False
    host: Host = Host()
    tools: Tools | None = None
    disk: Disk | None = None
    torch: Torch | None = None
    toolkit: Toolkit | None = None
    nvidia: Nvidia | None = None
    amd: Amd | None = None
    driver_floor: DriverFloor | None = None
    models: tuple[Model, ...] = ()
    bundle: Bundle | None = None

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs of the backend."""
        if self.backend == "cuda":
            return self.nvidia.gpus if self.nvidia else ()
        return self.amd.gpus if self.backend == "rocm" and self.amd else ()
