using System.Diagnostics;
using System.Runtime.Versioning;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;

namespace KvStore.Node.Tests.Processes;

/// <summary>Signals at any moment of a process's life, and what its files look like to other users of the machine.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class SignalTests
{
    /// <summary>In the last thing that a process says when it starts.</summary>
    private const string Serving = "Ctrl-C";

    [Fact]
    public async Task D7_folders_and_files_are_for_the_owner_alone()
    {
        using var cluster = new TestCluster();
        using var node = await NodeProcess.StartAsync(cluster.File, cluster.Data, Serving);
        foreach (string path in Directory.EnumerateFileSystemEntries(cluster.Data, "*", SearchOption.AllDirectories).Append(cluster.Data))
        {
            UnixFileMode others = File.GetUnixFileMode(path)
                & ~(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            Assert.True(others == 0, $"{path}: {others}");
        }
    }

    [Fact]
    public async Task D7_a_folder_of_an_earlier_build_is_closed_to_others()
    {
        using var cluster = new TestCluster();
        string folder = Path.Combine(cluster.Data, "n1");
        Directory.CreateDirectory(folder);
        File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
        using var node = await NodeProcess.StartAsync(cluster.File, cluster.Data, Serving);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(folder));
    }

    [Theory]
    [InlineData("HUP", 0)]
    [InlineData("TERM", 0)]
    [InlineData("QUIT", 131)]
    public async Task B9_a_signal_ends_a_node_that_serves(string signal, int exitCode)
    {
        using var cluster = new TestCluster();
        using var node = await NodeProcess.StartAsync(cluster.File, cluster.Data, Serving);
        if (signal != "TERM" && await NodeProcess.IgnoresAsync(signal == "HUP" ? 1 : 3))
        {
            // These tests run under nohup, or behind a shell's '&', and what they start inherits it: such a node is to outlive its terminal.
            await Assert.ThrowsAsync<TimeoutException>(() => node.SignalAsync(signal, TimeSpan.FromSeconds(1)));
            Assert.Equal(0, await node.SignalAsync("TERM"));
            return;
        }

        Assert.Equal(exitCode, await node.SignalAsync(signal));
        Assert.Equal(signal != "QUIT", node.Output.Contains("stopped in", StringComparison.Ordinal));
    }

    /// <summary>Lines that nobody takes are dropped; neither the start nor the stop waits for somebody to read.</summary>
    [Theory]
    [InlineData("text")]
    [InlineData("json")]
    public async Task A_node_whose_output_nobody_reads_starts_and_stops(string format)
    {
        using var cluster = new TestCluster();
        string pipe = Path.Combine(cluster.Folder, "output");

        // Open for reading, too, and full before the node writes its first line.
        const string Start = "mkfifo \"$1\"; exec 3<>\"$1\"; "
            + "dd if=/dev/zero of=\"$1\" bs=4096 oflag=nonblock 2>/dev/null; shift; exec dotnet \"$@\" >&3";
        string program = Path.Combine(AppContext.BaseDirectory, "KvStore.Node.dll");
        string[] arguments = ["-c", Start, "-", pipe, program, "--config", cluster.File, "--data", cluster.Data, "--log", format];
        using Process node = Process.Start(new ProcessStartInfo("bash", arguments))!;
        try
        {
            string endpoints = Path.Combine(cluster.Data, ".run", "n1.json");
            using var http = new HttpClient();
            await RunningCluster.UntilAsync("it is ready", async () =>
            {
                try
                {
                    return File.Exists(endpoints)
                        && JsonDocument.Parse(await File.ReadAllTextAsync(endpoints)).RootElement.GetProperty("http").GetString() is { } address
                        && (await http.GetAsync($"http://{address}/health/ready")).IsSuccessStatusCode;
                }
                catch (Exception e) when (e is JsonException or HttpRequestException)
                {
                    return false;
                }
            });
            Process.Start("kill", ["-TERM", $"{node.Id}"]).Dispose();
            await node.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Equal(0, node.ExitCode);
        }
        finally
        {
            if (!node.HasExited)
            {
                node.Kill();
            }
        }
    }

    /// <summary>As the first process of a container: what nobody handles, the kernel drops for it.</summary>
    [Theory]
    [InlineData(150)]
    [InlineData(250)]
    [InlineData(400)]
    [InlineData(800)]
    public async Task B9_as_process_1_a_signal_in_the_first_second_ends_the_node(int afterMs)
    {
        if (Environment.UserName != "root")
        {
            return; // a namespace of processes needs rights
        }

        using var cluster = new TestCluster();
        ProcessStartInfo start = new("unshare") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in new[]
        {
            "--pid", "--fork", "--kill-child", "dotnet", Path.Combine(AppContext.BaseDirectory, "KvStore.Node.dll"),
            "--config", cluster.File, "--data", cluster.Data,
        })
        {
            start.ArgumentList.Add(argument);
        }

        using Process outside = Process.Start(start)!;
        _ = outside.StandardOutput.ReadToEndAsync();
        _ = outside.StandardError.ReadToEndAsync();
        try
        {
            int inside = 0;
            await RunningCluster.UntilAsync("the first process runs managed code", () => Task.FromResult(
                int.TryParse(File.ReadAllText($"/proc/{outside.Id}/task/{outside.Id}/children").Trim(), out inside)
                && File.Exists($"/proc/{inside}/status") && CatchesTermination(inside)));
            await Task.Delay(afterMs);
            Process.Start("kill", ["-TERM", $"{inside}"]).Dispose();
            await outside.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Equal(0, outside.ExitCode);
        }
        finally
        {
            if (!outside.HasExited)
            {
                outside.Kill(entireProcessTree: true);
            }
        }
    }

    private static bool CatchesTermination(int process)
    {
        string line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("SigCgt:", StringComparison.Ordinal));
        return (Convert.ToUInt64(line[7..].Trim(), 16) & (1ul << 14)) != 0;
    }
}
