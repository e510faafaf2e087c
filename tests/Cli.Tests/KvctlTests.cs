using System.Text.Json;
using KvStore.Cli.Commands;
using KvStore.Client;
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

    [Theory]
    [InlineData("""{"op":"put","key":"a","val":"1"}""", "\"val\"", "value")]
    [InlineData("""{"op":"put","key":"a"}""", "no \"value\"", "line 3")]
    [InlineData("""{"op":"put","key":"a","value":1}""", "\"value\"", "text")]
    [InlineData("""{"op":"incr","key":"n","by":5}""", "\"by\"", "delta")]
    [InlineData("""{"op":"incr","key":"n","delta":"five"}""", "\"delta\"", "whole number")]
    [InlineData("""{"op":"get","key":"a","value":"1"}""", "\"value\"", "op, key")]
    [InlineData("""{"op":"put","value":"1"}""", "no \"key\"", "line 3")]
    [InlineData("""{"op":"put","key":"a","key":"b","value":"1"}""", "line 3", "key")]
    [InlineData("""{"op":"pot","key":"a"}""", "\"pot\"", "put, append, delete, del, incr")]
    [InlineData("put a 1", "line 3", "JSON")]
    public async Task A_line_of_a_batch_that_is_not_meant_is_named_and_nothing_is_done(string line, string named, string known)
    {
        string file = Path.Combine(_folder.Folder, "batch.ndjson");
        await File.WriteAllTextAsync(file, $"{{\"op\":\"put\",\"key\":\"first\",\"value\":\"x\"}}\n\n{line}\n");
        foreach (string[] how in new[] { Array.Empty<string>(), ["--atomic"] })
        {
            (int exit, _, string errors) = await RunAllAsync(["batch", file, .. how]);
            Assert.Equal(ExitCode.Usage, exit);
            Assert.All(["line 3", named, known], word => Assert.Contains(word, errors, StringComparison.Ordinal));
        }

        Assert.Equal(ExitCode.NotFound, (await RunAsync("get", "first")).Exit);
        Assert.Equal(ExitCode.NotFound, (await RunAsync("get", "a")).Exit);
        Assert.Equal(ExitCode.NotFound, (await RunAsync("get", "n")).Exit);
    }

    [Theory]
    [InlineData("del")]
    [InlineData("delete")]
    public async Task A_delete_goes_by_both_names(string op)
    {
        string file = Path.Combine(_folder.Folder, "batch.ndjson");
        await File.WriteAllTextAsync(file, $"{{\"op\":\"{op}\",\"key\":\"a\"}}\n{{\"op\":\"incr\",\"key\":\"n\",\"delta\":5,\"initial\":10}}");
        await RunAsync("put", "a", "x");
        Assert.Equal(ExitCode.Ok, (await RunAsync("batch", file)).Exit);
        Assert.Equal(ExitCode.NotFound, (await RunAsync("get", "a")).Exit);
        Assert.Equal((ExitCode.Ok, "15"), await RunAsync("get", "n", "-o", "raw"));
        await File.WriteAllTextAsync(file, $"{{\"op\":\"{op}\",\"key\":\"n\"}}");
        Assert.Equal(ExitCode.Ok, (await RunAsync("batch", file, "--atomic")).Exit);
        Assert.Equal(ExitCode.NotFound, (await RunAsync("get", "n")).Exit);
    }

    [Fact]
    public void Every_verb_of_a_batch_has_a_line_that_becomes_it()
    {
        BatchLine line = BatchLine.ParseAll("""{"op":"put","key":"k","value":"v"}""").Single();
        Assert.All(BatchVerb.All, verb => Assert.Equal(1, verb.AddTo(new KvBatch(), line).Count));
        Assert.Equal(typeof(KvBatch).GetMethods().Count(method => method.ReturnType == typeof(KvBatch)), BatchVerb.All.Count);
    }

    [Theory]
    [InlineData("strong")]
    [InlineData("session")]
    [InlineData("eventual")]
    public async Task A_bound_beside_a_level_that_has_none_is_refused(string level)
    {
        (int exit, _, string errors) = await RunAllAsync("get", "greeting", "-c", level, "--max-staleness", "5s");
        Assert.Equal(ExitCode.Usage, exit);
        Assert.Contains(level, errors, StringComparison.Ordinal);
        Assert.Contains("bounded", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_command_line_says_all_there_is_about_a_read()
    {
        await RunAsync("put", "greeting", "hello");
        string context = $"Endpoints={_cluster!.Nodes[0].Endpoints.Http};Consistency=session";
        Assert.Equal("bounded", await LevelAsync("-e", context, "--max-staleness", "5s"));
        Assert.Equal("strong", await LevelAsync("-e", context.Replace("Consistency=session", "MaxStaleness=5s", StringComparison.Ordinal), "-c", "strong"));
        Assert.Equal("bounded", await LevelAsync("-c", "bounded", "--max-staleness", "5s"));
        Assert.Contains("unit", (await RunAllAsync("get", "greeting", "--max-staleness", "5")).Errors, StringComparison.Ordinal);

        async Task<string?> LevelAsync(params string[] said) =>
            JsonDocument.Parse((await RunAsync(["get", "greeting", "-o", "ndjson", .. said])).Output).RootElement.GetProperty("level").GetString();
    }

    [Fact]
    public async Task What_went_wrong_is_said_of_its_key_and_line()
    {
        await RunAsync("put", "word", "text");
        Assert.Contains("word", (await RunAllAsync("incr", "word")).Errors, StringComparison.Ordinal);
        (int exit, _, string there) = await RunAllAsync("put", "word", "again", "--create");
        Assert.Equal(ExitCode.ConditionFailed, exit);
        Assert.Contains("word is there at revision", there, StringComparison.Ordinal);
        Assert.Contains("missing is not there", (await RunAllAsync("put", "missing", "x", "--replace")).Errors, StringComparison.Ordinal);

        string file = Path.Combine(_folder.Folder, "batch.ndjson");
        await File.WriteAllTextAsync(file, "{\"op\":\"get\",\"key\":\"word\"}\n{\"op\":\"incr\",\"key\":\"word\"}");
        Assert.Contains("line 2: word", (await RunAllAsync("batch", file)).Errors, StringComparison.Ordinal);
        await File.WriteAllTextAsync(file, "{\"op\":\"put\",\"key\":\"word\",\"value\":\"x\"}\n{\"op\":\"incr\",\"key\":\"word\"}");
        Assert.Contains("line 2: word: NotANumber", (await RunAllAsync("batch", file, "--atomic")).Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_context_that_is_not_there_is_missed_in_words_also_when_there_is_none()
    {
        Assert.EndsWith("saves one", Assert.Throws<ArgumentException>(() => new Contexts().Find("foo")).Message, StringComparison.Ordinal);
        Contexts one = new() { Clusters = new(StringComparer.Ordinal) { ["prod"] = "a:1" } };
        Assert.EndsWith("known are prod", Assert.Throws<ArgumentException>(() => one.Find("foo")).Message, StringComparison.Ordinal);
    }

    private async Task<(int Exit, string Output)> RunAsync(params string[] args)
    {
        (int exit, string output, _) = await RunAllAsync(args);
        return (exit, output);
    }

    private async Task<(int Exit, string Output, string Errors)> RunAllAsync(params string[] args)
    {
        using var output = new StringWriter();
        using var errors = new StringWriter();
        string[] all = args.Contains("-e") ? args : [.. args, "-e", $"{_cluster!.Nodes[0].Endpoints.Http}"];
        int exit = await Kvctl.RunAsync(all, output, errors, new StringReader(" from stdin"));
        return (exit, output.ToString(), errors.ToString());
    }
}
