using System.Diagnostics;
using Xunit.Abstractions;

namespace KvStore.Node.Tests.Hosting;

/// <summary>A real file system that is frozen. Needs root and a loop device; says so loudly and does nothing where they are not.</summary>
public sealed class FrozenDiskTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Frozen = TimeSpan.FromSeconds(12);

    [Fact]
    public async Task C2_writes_go_on_elsewhere_within_five_seconds_while_a_file_system_is_frozen()
    {
        await using var nodes = new SeparateNodes();
        string folder = nodes.FolderOf("n1");
        string image = $"{folder}.img";
        Directory.CreateDirectory(folder);
        if (Run("truncate", "-s", "512M", image) != 0 || Run("mkfs.ext4", "-q", "-F", image) != 0 || Run("mount", "-o", "loop", image, folder) != 0)
        {
            output.WriteLine("SKIPPED: a file system cannot be made and mounted here, it takes root and a loop device. NOTHING WAS TESTED.");
            Console.Error.WriteLine("FrozenDiskTests SKIPPED: no root or no loop device");
            return;
        }

        try
        {
            await nodes.StartAsync("n1", "n2", "n3");
            await RunningCluster.UntilAsync("n1 leads", () => Task.FromResult(nodes["n1"].Store!.Groups.Any(group => group.Role == "leader")));
            string[] keys = [.. Enumerable.Range(0, 16).Select(i => $"key{i}")];
            await Task.WhenAll(keys.Select(key => nodes.PutAsync("n2", key, "before")));

            Assert.Equal(0, Run("fsfreeze", "-f", folder));
            var stopwatch = Stopwatch.StartNew();
            TimeSpan took;
            try
            {
                await Task.WhenAll(keys.Select(key => nodes.PutAsync("n2", key, "meanwhile")));
                took = stopwatch.Elapsed;
                output.WriteLine($"every key was written {took.TotalMilliseconds:0} ms after the freeze");
                Assert.False(nodes["n1"].Store!.IsReady);
                await Task.Delay(Frozen - took < TimeSpan.Zero ? TimeSpan.Zero : Frozen - took);
            }
            finally
            {
                Run("fsfreeze", "-u", folder);
            }

            Assert.True(took < TimeSpan.FromSeconds(5), $"writes went on after {took}");
            Assert.Single(nodes.Logs.Lines, line => line.Id == 318);
            await nodes.ReadyAsync("n1");
            Assert.Equal("meanwhile", await nodes.GetAsync("n1", "key3"));
            await nodes.StopAsync("n1");
        }
        finally
        {
            await nodes.StopAsync("n1");
            Run("umount", folder);
        }
    }

    private int Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0)
            {
                output.WriteLine($"{program}: {error}");
            }

            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            output.WriteLine($"{program}: {e.Message}");
            return -1;
        }
    }
}
