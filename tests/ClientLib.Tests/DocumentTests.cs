using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace KvStore.Client.Tests;

/// <summary>The snippets of docs/client.md: each is compiled here, run against real nodes, and compared with what the page shows.</summary>
[Collection(ThreeNodesGroup.Name)]
public sealed partial class DocumentTests(ThreeNodes cluster)
{
    /// <summary>Where the snippets are run.</summary>
    private static readonly string[] Sources =
        ["tests/ClientLib.Tests/DocumentTests.cs", "tests/Testing.Tests/DocumentTests.cs", "tests/Client.Extensions.Tests/AspNetCoreTests.cs"];

    private sealed record Order(int Number, string State);

    [Fact]
    public async Task The_snippets_of_the_page_run()
    {
        // The page says localhost:7101; the rest is what it shows.
        await FirstAsync();
        await using var kv = new KvClient(cluster.Endpoint);
        await ConditionsAsync(kv);
        await TypedAsync(kv);
        await LevelsAsync(kv);
        await SessionAsync(kv);
        await SeveralAsync(kv);
        await UnknownAsync(kv);
    }

    [Fact]
    public void The_page_shows_what_is_run()
    {
        string page = TextOf("docs/client.md").Replace("\"localhost:7101\"", "cluster.Endpoint", StringComparison.Ordinal);
        string source = string.Concat(Sources.Select(file => TextOf(file)));
        MatchCollection shown = Shown().Matches(page);
        Assert.Equal(10, shown.Count);
        foreach (Match match in shown)
        {
            string run = Regex.Match(source, $@"// {match.Groups[1].Value}\n(.*?)// end\n", RegexOptions.Singleline).Groups[1].Value;
            Assert.Equal(Lines(run), Lines(match.Groups[2].Value));
        }
    }

    [Fact]
    public void The_package_shows_the_first_program_of_the_page()
    {
        string first = Shown().Match(TextOf("docs/client.md")).Groups[2].Value;
        Assert.Contains($"```csharp\n{first}```", TextOf("src/ClientLib/README.md"), StringComparison.Ordinal);
    }

    /// <summary>scripts/packages.sh compiles both as they stand, in a project that has the package and nothing else.</summary>
    [Theory]
    [InlineData("README.md")]
    [InlineData("docs/client.md")]
    [InlineData("src/ClientLib/README.md")]
    public void The_first_program_of_a_page_says_what_it_uses_and_of_which_package(string file)
    {
        string page = TextOf(file);
        Assert.StartsWith("using KvStore.Client;", page[(page.IndexOf("```csharp\n", StringComparison.Ordinal) + 10)..], StringComparison.Ordinal);
        Assert.Contains("KvStore.ClientLib", page, StringComparison.Ordinal);
    }

    private async Task FirstAsync()
    {
        // first
        await using var kv = new KvClient(cluster.Endpoint);
        await kv.PutAsync("greeting", "hello");
        string? hi = await kv.GetAsync("greeting");
        Console.WriteLine(hi);
        // end
        Assert.Equal("hello", hi);
    }

    private static async Task ConditionsAsync(KvClient kv)
    {
        // conditions
        KvWrite created = await kv.CreateAsync("users/ada", "Ada");
        if (!created)
        {
            Console.WriteLine("there is one already");
        }

        KvRead read = await kv.GetAsync("users/ada");
        KvWrite replaced = await kv.PutAsync("users/ada", "Ada Lovelace", new WriteOptions { IfRevision = read.Revision });
        Console.WriteLine($"{replaced.Applied} {await kv.IncrementAsync("visits")}");
        // end
        Assert.True(created.Applied && replaced.Applied);
    }

    private static async Task TypedAsync(KvClient kv)
    {
        // typed
        var orders = kv.Collection<Order>("orders/");
        await orders.CreateAsync("17", new Order(17, "new"));
        Order paid = await orders.UpdateAsync("17", order => order with { State = "paid" });
        // end
        Assert.Equal(new Order(17, "paid"), paid);
    }

    private static async Task LevelsAsync(KvClient kv)
    {
        // levels
        KvRead strong = await kv.GetAsync("greeting");                                                 // nothing acknowledged is missing
        KvRead recent = await kv.GetAsync("greeting", Read.Within(TimeSpan.FromMilliseconds(500)));    // at most so old
        KvRead any = await kv.GetAsync("greeting", Read.Anything);                                     // whatever the nearest replica has
        Console.WriteLine($"{any.Age} from {any.Evidence.Node}, a {any.Evidence.Role}");
        // end
        Assert.True(strong.Age == TimeSpan.Zero && recent.Age <= TimeSpan.FromMilliseconds(500));
    }

    private static async Task SessionAsync(KvClient kv)
    {
        // session
        KvSession session = kv.CreateSession();
        await session.PutAsync("cart/7", "apples");
        KvRead own = await session.GetAsync("cart/7");
        KvSessionToken handedOn = session.Token;

        KvSession elsewhere = kv.CreateSession(handedOn);
        KvRead same = await elsewhere.GetAsync("cart/7");
        // end
        Assert.Equal(("apples", "apples"), ((string?)own, (string?)same));
    }

    private static async Task SeveralAsync(KvClient kv)
    {
        // several
        KvTransactionResult moved = await kv.TransactAsync(new KvTransaction()
            .Increment("{wallet}ada", -30)
            .Increment("{wallet}bob", 30));

        KvBatchResult all = await kv.BatchAsync(new KvBatch().Put("a", "1").Put("b", "2").Get("greeting"));
        // end
        Assert.True(moved.Applied && all.AllApplied);
    }

    private static async Task UnknownAsync(KvClient kv)
    {
        // unknown
        try
        {
            await kv.IncrementAsync("paid");
        }
        catch (KvOutcomeUnknownException unknown)
        {
            await kv.ResolveAsync(unknown);
        }
        // end
    }

    // A program says what it uses at its top, a test file does so once for all of them.
    private static string[] Lines(string text) =>
        [.. text.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0 && !line.StartsWith("using KvStore", StringComparison.Ordinal))];

    private static string TextOf(string file, [CallerFilePath] string source = "") =>
        File.ReadAllText(Path.Combine(Path.GetDirectoryName(source)!, "..", "..", file));

    [GeneratedRegex(@"<!-- snippet: (\w+) -->\n```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Shown();
}
