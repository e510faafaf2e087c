using System.Text.RegularExpressions;

namespace KvStore.Architecture.Tests;

/// <summary>Rules about the text of the repository that no analyzer checks.</summary>
public partial class HygieneTests
{
    private const int MaxProjectLines = 40;

    public static TheoryData<string> ProductAssemblies => ReferenceTests.ProductAssemblies;

    [Theory]
    [MemberData(nameof(ProductAssemblies))]
    public void Nobody_blocks_on_a_task(string project)
    {
        // By the members used, not by text: a property called Result is no crime. Awaiters are how the compiler awaits.
        var blocking = BuiltAssembly.MembersUsedBy(project).Where(member =>
            member is "System.Threading.Tasks.Task`1.get_Result" or "System.Threading.Tasks.ValueTask`1.get_Result"
            || (member.StartsWith("System.Threading.Tasks.Task.Wait", StringComparison.Ordinal) && member != "System.Threading.Tasks.Task.WaitAsync"));
        Assert.Empty(blocking);
    }

    [Fact]
    public void Nothing_is_left_to_do()
    {
        string[] files = ["*.cs", "*.sh", "*.csproj", "*.props", "*.md", "*.txt"];
        var offenders = files.SelectMany(Repository.Files).Where(file => LeftOver().IsMatch(Repository.Read(file)));
        Assert.Empty(offenders);
    }

    [Fact]
    public void Code_is_not_folded_away() =>
        Assert.DoesNotContain(Repository.Files("*.cs"), file => Fold().IsMatch(Repository.Read(file)));

    [Fact]
    public void No_documentation_tag_is_empty() =>
        Assert.DoesNotContain(Repository.Files("*.cs"), file => EmptyTag().IsMatch(Repository.Read(file)));

    [Theory]
    [InlineData("void Write(MessagePackWriter writer)", true)]
    [InlineData("void Write(int count, MessagePackWriter writer)", true)]
    [InlineData("void Write(ref MessagePackWriter writer)", false)]
    public void A_writer_by_value_is_recognized(string text, bool isByValue) => Assert.Equal(isByValue, WriterByValue().IsMatch(text));

    /// <summary>A copy of a <c>MessagePackWriter</c> writes over what the other wrote: the compiler lets it pass.</summary>
    [Fact]
    public void A_writer_of_bodies_is_handed_on_by_reference() => Assert.DoesNotContain(
        Repository.Files("*.cs"), file => file.StartsWith("src/", StringComparison.Ordinal) && WriterByValue().IsMatch(Repository.Read(file)));

    [Fact]
    public void A_project_file_is_short_and_names_no_version()
    {
        foreach (var file in Repository.Files("*.csproj"))
        {
            var text = Repository.Read(file);
            Assert.True(text.Split('\n').Length <= MaxProjectLines, $"{file} has more than {MaxProjectLines} lines");
            Assert.False(text.Contains(" Version=") || text.Contains("VersionOverride"), $"{file} names a version");
        }
    }

    [Fact]
    public void Every_project_is_in_the_solution_and_has_a_lock_file()
    {
        var solution = Repository.Read("KvStore.sln").Replace('\\', '/');
        foreach (var file in Repository.Files("*.csproj").Where(file => !file.StartsWith("loadtests/Micro/", StringComparison.Ordinal)))
        {
            Assert.True(solution.Contains($"\"{file}\""), $"{file} is not in KvStore.sln");
            var lockFile = Path.Combine(Repository.Root, Path.GetDirectoryName(file)!, "packages.lock.json");
            Assert.True(File.Exists(lockFile), $"{file} has no lock file");
        }
    }

    // Spelled so that this file does not match itself.
    [GeneratedRegex(@"\b(TO" + @"DO|FIX" + @"ME|HA" + @"CK)\b")]
    private static partial Regex LeftOver();

    [GeneratedRegex(@"[(,]\s*MessagePackWriter\s+\w+\s*[,)]")]
    private static partial Regex WriterByValue();

    [GeneratedRegex(@"^\s*#" + "region", RegexOptions.Multiline)]
    private static partial Regex Fold();

    [GeneratedRegex(@"<(summary|param name=""\w+""|returns|remarks)>\s*(///)?\s*</")]
    private static partial Regex EmptyTag();
}
