using System.Diagnostics;

namespace KvStore.LoadTests.Chaos.Machine;

/// <summary>
/// A small disk of its own under each node's folder: an ext4 file system in a file. Somebody else's file fills it to the last byte, or it is
/// frozen. Takes root and loop devices.
/// </summary>
internal sealed class LoopDisks : IDisposable
{
    private const string OthersFile = "others";
    private const string Size = "256M";
    private const int SmallestPiece = 4096;

    private readonly string _data;
    private readonly List<string> _mounted = [];
    private readonly HashSet<string> _frozen = [];

    private LoopDisks(string data)
    {
        _data = data;
    }

    /// <summary>Takes what an earlier run has left mounted off, so that its folder can be deleted.</summary>
    public static void ReleaseLeftovers(string data, IEnumerable<string> nodes)
    {
        foreach (string folder in nodes.Select(node => Path.Combine(data, node)).Where(Directory.Exists))
        {
            // fails where nothing is mounted, which is what is wanted
            _ = TryRun("umount", folder);
        }
    }

    /// <summary>Makes and mounts them.</summary>
    /// <param name="data">Where the nodes' folders are.</param>
    /// <param name="nodes">Their names.</param>
    /// <exception cref="MachineException">This machine, or this user, cannot.</exception>
    public static LoopDisks Create(string data, IEnumerable<string> nodes)
    {
        var disks = new LoopDisks(data);
        try
        {
            foreach (string node in nodes)
            {
                string image = disks.ImageOf(node);
                Directory.CreateDirectory(disks.FolderOf(node));
                Run("truncate", "-s", Size, image);
                Run("mkfs.ext4", "-q", "-F", "-m", "0", image);
                Run("mount", "-o", "loop", image, disks.FolderOf(node));
                disks._mounted.Add(node);
            }

            return disks;
        }
        catch
        {
            disks.Dispose();
            throw;
        }
    }

    /// <summary>Until not one block is free.</summary>
    public void FillUp(string node)
    {
        using var others = new FileStream(
            Path.Combine(FolderOf(node), OthersFile), FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        for (int bytes = 1 << 20; bytes >= SmallestPiece; bytes /= 4)
        {
            byte[] piece = new byte[bytes];
            try
            {
                while (true)
                {
                    others.Write(piece);
                    others.Flush(flushToDisk: true);
                }
            }
            catch (IOException)
            {
                // full, or full for pieces of this size
            }
        }
    }

    public void MakeRoom(string node) => File.Delete(Path.Combine(FolderOf(node), OthersFile));

    /// <summary>Every write and sync stands still from now on.</summary>
    public void Freeze(string node)
    {
        Run("fsfreeze", "-f", FolderOf(node));
        _frozen.Add(node);
    }

    public void Thaw(string node)
    {
        if (_frozen.Remove(node))
        {
            Run("fsfreeze", "-u", FolderOf(node));
        }
    }

    public void Dispose()
    {
        foreach (string node in _frozen.ToArray())
        {
            Thaw(node);
        }

        foreach (string node in _mounted)
        {
            // The nodes have ended; the kernel may need a moment to let go of their files.
            for (int attempt = 0; attempt < 20 && TryRun("umount", FolderOf(node)) is not null; attempt++)
            {
                Thread.Sleep(100);
            }

            File.Delete(ImageOf(node));
        }
    }

    private string FolderOf(string node) => Path.Combine(_data, node);

    private string ImageOf(string node) => Path.Combine(_data, $"{node}.img");

    private static void Run(string program, params string[] arguments)
    {
        if (TryRun(program, arguments) is { } error)
        {
            throw new MachineException(
                $"{program} {string.Join(' ', arguments)}: {error.Trim()}. This scenario needs root, loop devices, and mkfs.ext4 and fsfreeze "
                + "(packages e2fsprogs and util-linux)");
        }
    }

    /// <returns>What it says went wrong; null when nothing did.</returns>
    private static string? TryRun(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(
                new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? null : error.Length > 0 ? error : $"exit code {process.ExitCode}";
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return e.Message;
        }
    }
}

/// <summary>The machine lacks what a scenario needs: it is skipped, and there is no verdict.</summary>
internal sealed class MachineException(string message) : Exception(message);
