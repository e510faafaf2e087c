using System.Globalization;
using System.Text.RegularExpressions;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

public sealed partial class MetricsTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Fact]
    public async Task Every_line_is_a_comment_or_a_sample_of_the_family_above_it()
    {
        door.Reset();
        await door.SendAsync("GET", "/v1/kv/key");
        string family = "";
        string[] lines = (await door.Client.GetStringAsync("/metrics")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        HashSet<string> families = [];
        foreach (string line in lines)
        {
            if (line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                family = line.Split(' ')[2];
                Assert.True(families.Add(family), $"{family} is there twice");
            }
            else if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                Assert.Matches($"^# TYPE {family} (counter|gauge|histogram)$", line);
            }
            else
            {
                Match sample = Sample().Match(line);
                Assert.True(sample.Success, line);
                Assert.StartsWith(family, sample.Groups["name"].Value, StringComparison.Ordinal);
                Assert.True(double.TryParse(sample.Groups["value"].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out _), line);
            }
        }

        Assert.Contains("kvstore_wal_syncs_total", families);
        Assert.Contains("kvstore_raft_term", families);
    }

    [Fact]
    public async Task The_media_type_names_the_version_of_the_format()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/metrics");
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", response.Content.Headers.ContentType!.ToString());
    }

    [Fact]
    public async Task Requests_are_counted_by_operation_level_and_outcome()
    {
        door.Reset();
        await door.SendAsync("GET", "/v1/kv/key?consistency=eventual");
        await door.SendAsync("DELETE", "/v1/kv/key");
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.Indeterminate);
        await door.SendAsync("DELETE", "/v1/kv/key");
        await door.SendAsync("DELETE", "/v1/kv/key");
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.NoLeader);
        await door.SendAsync("POST", "/v1/incr/key");

        // Too large by itself is a refusal; that the value would be is what an append came to.
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.TooLarge);
        await door.SendAsync("POST", "/v1/append/key");
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.TooLarge) with { Result = new Current(0), Evidence = ScriptedDoor.Evidence() };
        await door.SendAsync("POST", "/v1/append/key");
        await door.SendAsync("POST", "/v1/append/key");
        string text = await door.Client.GetStringAsync("/metrics");
        string[] expected =
        [
            """_count{op="get",consistency="eventual",outcome="ok"} 1""",
            """_count{op="delete",consistency="strong",outcome="ok"} 1""",
            """_bucket{op="delete",consistency="strong",outcome="unknown",le="+Inf"} 2""",
            """_count{op="incr",consistency="strong",outcome="refused"} 1""",
            """_count{op="append",consistency="strong",outcome="refused"} 1""",
            """_count{op="append",consistency="strong",outcome="ok"} 2""",
        ];
        Assert.All(expected, line => Assert.Contains("kvstore_request_duration_seconds" + line, text.Split('\n')));
    }

    [Fact]
    public async Task A_node_that_recovers_is_scraped_as_well()
    {
        door.Reset();
        door.Recovered = false;
        Assert.Contains("kvstore_up 0\n", await door.Client.GetStringAsync("/metrics"), StringComparison.Ordinal);
    }

    [GeneratedRegex("""^(?<name>[a-z_]+)(\{([a-z_]+="[^"]*",?)+\})? (?<value>\S+)$""")]
    private static partial Regex Sample();
}
