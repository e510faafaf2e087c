using System.Diagnostics;
using System.Text.RegularExpressions;
using KvStore.Node.Tests.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Http;

/// <summary>The lines of docs/rest.md, run by a shell and curl against real nodes in the order of the page.</summary>
public sealed class RestPageTests : IAsyncLifetime, IDisposable
{
    private readonly TestCluster _folder = new(nodes: 3);
    private RunningCluster? _cluster;

    public async Task InitializeAsync() => _cluster = await RunningCluster.StartAsync(_folder, NullLoggerFactory.Instance);

    public async Task DisposeAsync() => await _cluster!.DisposeAsync();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Every_line_of_the_page_is_answered_as_it_says()
    {
        string page = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "docs/rest.md"));
        string[] lines = [.. Regex.Matches(page, "```sh\n(.*?)```", RegexOptions.Singleline)
            .SelectMany(block => block.Groups[1].Value.Split('\n')).Where(line => line.StartsWith("curl ", StringComparison.Ordinal))];
        Assert.True(lines.Length > 20, $"only {lines.Length} lines");
        foreach (string line in lines)
        {
            // COMMAND  # STATUS [or STATUS] [a piece of the answer]
            Match parts = Regex.Match(line, @"^curl (.*?) +# (\d{3})(?: or (\d{3}))? ?(.*)$");
            Assert.True(parts.Success, $"does not say its answer: {line}");
            string answer = await RunAsync(parts.Groups[1].Value);
            string status = Regex.Match(answer, @"^HTTP/1\.1 (\d{3})").Groups[1].Value;
            Assert.True(
                (status == parts.Groups[2].Value || status == parts.Groups[3].Value) && answer.Contains(parts.Groups[4].Value, StringComparison.Ordinal),
                $"{line}\n{answer}");
        }
    }

    private async Task<string> RunAsync(string arguments)
    {
        ProcessStartInfo shell = new("bash", ["-c", $"kv=http://{_cluster!.Nodes[0].Endpoints.Http}; curl -sS -i {arguments} 2>&1"])
        {
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(shell)!;
        string answer = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return answer;
    }
}
