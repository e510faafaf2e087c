using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Cli.Tests;

/// <summary>kvctl as a script uses it, against real nodes.</summary>
public sealed class KvctlTests : IAsyncLifetime, IDisposable
{
    private readonly TestCluster _folder = new(nodes: 3);
    private RunningCluster? _cluster;

    public async Task InitializeAsync() => _cluster = await RunningCluster.StartAsync(_folder, NullLoggerFactory.Instance);

    public async Task DisposeAsync() => await _cluster!.DisposeAsync();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Every_command_does_what_it_says_and_scripts_learn_it_from_the_exit_code()
    {
        Assert.Equal((ExitCode.NotFound, ""), await RunAsync("get", "a", "-o", "raw"));
        Assert.Equal(ExitCode.Ok, (await RunAsync("put", "a", "hello")).Exit);
        Assert.Equal((ExitCode.Ok, "hello"), await RunAsync("get", "a", "-o", "raw"));
        Assert.Equal(ExitCode.ConditionFailed, (await RunAsync("put", "a", "x", "--create")).Exit);
        Assert.Equal(ExitCode.Ok, (await RunAsync("append", "a", "-", "-o", "raw")).Exit);
        Assert.Equal((ExitCode.Ok, "hello from stdin"), await RunAsync("get", "a", "-o", "raw"));
        Assert.Equal((ExitCode.Ok, "41\n"), await RunAsync("incr", "n", "41", "-o", "raw"));
        Assert.Equal(ExitCode.Failure, (await RunAsync("incr", "a")).Exit);

        JsonElement read = JsonDocument.Parse((await RunAsync("get", "n", "-o", "ndjson", "-c", "eventual")).Output).RootElement;
        Assert.Equal(("41", "eventual"), (read.GetProperty("value").GetString(), read.GetProperty("level").GetString()));
        JsonElement groups = JsonDocument.Parse((await RunAsync("groups", "-o", "json")).Output).RootElement;
        Assert.Equal(4, groups.GetArrayLength());
        Assert.Contains("n2", (await RunAsync("nodes")).Output, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Ok, (await RunAsync("cluster", "--check")).Exit);
        Assert.Contains("12182", (await RunAsync("locate", "foo")).Output, StringComparison.Ordinal);
        Assert.Contains("leader", (await RunAsync("explain", "foo", "--query", "maxStaleness=2s")).Output, StringComparison.Ordinal);
        Assert.Contains("True", (await RunAsync("check", "--count", "10")).Output, StringComparison.Ordinal);
        (int exit, string bench) = await RunAsync("bench", "--seconds", "1", "--workers", "4", "-o", "json");
        Assert.Equal((ExitCode.Ok, true), (exit, JsonDocument.Parse(bench).RootElement[0].GetProperty("calls").GetInt64() > 0));
        Assert.Equal(ExitCode.Ok, (await RunAsync("del", "a")).Exit);
    }

    [Fact]
    public async Task A_file_of_calls_is_carried_out_each_for_itself_or_all_or_none()
    {
        string file = Path.Combine(_folder.Folder, "batch.ndjson");
        await File.WriteAllTextAsync(file, """
            {"op":"put","key":"{b}1","value":"x"}
            {"op":"incr","key":"{b}1"}
            {"op":"incr","key":"{b}2","delta":5}
            """);
        (int exit, string output) = await RunAsync("batch", file, "--atomic", "-o", "ndjson");
        Assert.Equal(ExitCode.ConditionFailed, exit);
        Assert.Contains("NotANumber", output, StringComparison.Ordinal);
        Assert.Equal(ExitCode.NotFound, (await RunAsync("get", "{b}2")).Exit);

        // Side by side the increment may come before the put: the key is text before the file is carried out.
        Assert.Equal(ExitCode.Ok, (await RunAsync("put", "{b}1", "text")).Exit);
        Assert.Equal(ExitCode.Failure, (await RunAsync("batch", file)).Exit);
        Assert.Equal((ExitCode.Ok, "5"), await RunAsync("get", "{b}2", "-o", "raw"));
        await File.WriteAllTextAsync(file, """{"op":"pot","key":"a"}""");
        Assert.Equal(ExitCode.Usage, (await RunAsync("batch", file)).Exit);
    }

    [Fact]
    public async Task What_cannot_be_meant_is_a_usage_error_and_nobody_there_another_one()
    {
        Assert.Equal(ExitCode.Usage, (await RunAsync("gett", "a")).Exit);
        Assert.Equal(ExitCode.Usage, (await RunAsync("get")).Exit);
        Assert.Equal(ExitCode.Usage, (await RunAsync("get", "a", "--timeout", "soon")).Exit);
        Assert.Equal(ExitCode.Usage, (await RunAsync("get", "a", "-e", "nonsense")).Exit);
        Assert.Equal(ExitCode.Unreachable, (await RunAsync("get", "a", "-e", "127.0.0.1:1", "--timeout", "200ms")).Exit);
        Assert.Equal(ExitCode.Ok, (await RunAsync("--help")).Exit);
        Assert.Contains("complete", (await RunAsync("completion", "bash")).Output, StringComparison.Ordinal);
    }

    private async Task<(int Exit, string Output)> RunAsync(params string[] args)
    {
        using var output = new StringWriter();
        using var errors = new StringWriter();
        string[] all = args.Contains("-e") ? args : [.. args, "-e", $"{_cluster!.Nodes[0].Endpoints.Http}"];
        int exit = await Kvctl.RunAsync(all, output, errors, new StringReader(" from stdin"));
        return (exit, output.ToString());
    }
}
