using System.Diagnostics;

namespace KvStore.LoadTests.Chaos.Machine;

/// <summary>
/// A wall clock for each node that this run can move, by a library (wallclock.c) that is compiled here and loaded into the nodes. Takes no
/// rights, but a C compiler.
/// </summary>
internal sealed class WallClocks
{
    private readonly string _folder;

    private WallClocks(string folder)
    {
        _folder = folder;
        Environment = new Dictionary<string, string>
        {
            ["LD_PRELOAD"] = Library(folder),
            ["KV_CLOCKS"] = folder,
        };
    }

    /// <summary>What the processes of the nodes are to be started with.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; }

    /// <param name="folder">Made for the library and the clocks.</param>
    /// <param name="nodes">Their names.</param>
    /// <exception cref="MachineException">There is no C compiler, or it does not make the library.</exception>
    public static WallClocks Create(string folder, IEnumerable<string> nodes)
    {
        Directory.CreateDirectory(folder);
        string source = Path.Combine(AppContext.BaseDirectory, "Chaos", "Machine", "wallclock.c");
        try
        {
            using var compiler = Process.Start(new ProcessStartInfo("cc", ["-shared", "-fPIC", "-O2", "-o", Library(folder), source, "-ldl"])
            {
                RedirectStandardError = true,
            })!;
            string error = compiler.StandardError.ReadToEnd();
            compiler.WaitForExit();
            if (compiler.ExitCode != 0)
            {
                throw new MachineException($"cc does not compile {source}: {error.Trim()}. Install the headers of the C library (package libc6-dev)");
            }
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new MachineException($"cc: {e.Message}. This scenario needs a C compiler (packages gcc and libc6-dev)");
        }

        var clocks = new WallClocks(folder);
        foreach (string node in nodes)
        {
            clocks.Set(node, TimeSpan.Zero);
        }

        return clocks;
    }

    /// <summary>From now on the node's wall clock is so much ahead of this machine's.</summary>
    public void Set(string node, TimeSpan ahead)
    {
        using var file = new FileStream(Path.Combine(_folder, node), FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        file.Write(BitConverter.GetBytes((long)ahead.TotalNanoseconds));
    }

    private static string Library(string folder) => Path.Combine(folder, "wallclock.so");
}
