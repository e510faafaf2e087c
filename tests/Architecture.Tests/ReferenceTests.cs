using System.Xml.Linq;

namespace KvStore.Architecture.Tests;

/// <summary>The arrows of ARCHITECTURE.md, twice: as the projects state them and as the compiler used them.</summary>
public class ReferenceTests
{
    /// <summary>Project → what it may use. A new project is added here, on purpose, by whoever adds it.</summary>
    public static readonly IReadOnlyDictionary<string, string[]> Arrows = new Dictionary<string, string[]>
    {
        ["Raft"] = [],
        ["Protocol"] = [],
        ["Cluster"] = ["Protocol"],
        ["Storage"] = ["Raft"],
        ["StateMachine"] = ["Raft", "Protocol", "Storage"],
        ["Replication"] = ["Raft", "StateMachine", "Cluster", "Protocol", "Storage"],
        ["Node"] = ["Replication", "Storage", "Cluster", "Protocol"],
        ["ClientLib"] = ["Protocol"],
        ["Client.Extensions"] = ["ClientLib", "Protocol"],
        ["Client.AspNetCore"] = ["Client.Extensions", "ClientLib", "Protocol"],
        ["MemoryDisk"] = ["Storage"],
        ["Testing"] = ["ClientLib", "Protocol", "Node", "Replication", "Storage", "MemoryDisk"],
        ["Cli"] = ["ClientLib", "Protocol", "Node"],
        ["LoadTests"] = ["ClientLib", "Protocol"],
        ["Micro"] = ["Replication", "StateMachine", "Storage", "Raft", "Protocol"],
        ["Simulation"] = ["Replication", "StateMachine", "Cluster", "Storage", "MemoryDisk", "Raft", "Protocol"],
        ["Simulation.Runner"] = ["Simulation"],
    };

    /// <summary>Third-party packages of the product; tests are free.</summary>
    private static readonly string[] Packages =
    [
        "Microsoft.AspNetCore.OpenApi", "Swashbuckle.AspNetCore.SwaggerUI",
        "Serilog", "Serilog.Extensions.Logging", "Serilog.Sinks.Async", "Serilog.Sinks.Console", "Serilog.Sinks.File",
        "System.CommandLine", "Spectre.Console",
        "Microsoft.Extensions.Caching.Abstractions", "Microsoft.Extensions.DependencyInjection.Abstractions",
        "Microsoft.Extensions.Diagnostics.HealthChecks", "Microsoft.Extensions.Options.ConfigurationExtensions",
        "Microsoft.CodeAnalysis.BannedApiAnalyzers", "Microsoft.VisualStudio.Threading.Analyzers",
    ];

    public static TheoryData<string> ProjectFiles => [.. Repository.Files("*.csproj")];

    public static TheoryData<string> ProductAssemblies =>
        ["Raft", "Protocol", "Cluster", "Storage", "StateMachine", "Replication", "Node", "ClientLib"];

    [Theory]
    [MemberData(nameof(ProjectFiles))]
    public void A_project_references_only_what_its_arrows_allow(string file)
    {
        var project = NameOf(file);
        var isTest = project.EndsWith(".Tests", StringComparison.Ordinal);
        Assert.True(isTest || Arrows.ContainsKey(project), $"{file} is new: say in {nameof(Arrows)} what it may use");

        if (!isTest)
        {
            Assert.Empty(Included(file, "ProjectReference").Select(NameOf).Except(Arrows[project]));
        }
    }

    [Theory]
    [MemberData(nameof(ProductAssemblies))]
    public void An_assembly_uses_only_what_its_arrows_allow(string project)
    {
        var used = BuiltAssembly.ReferencesOf(project).Where(name => name.StartsWith("KvStore.", StringComparison.Ordinal)).Select(NameOf);
        Assert.Empty(used.Except(Arrows[project]));
    }

    [Theory]
    [MemberData(nameof(ProjectFiles))]
    public void The_product_uses_no_package_that_is_not_on_the_list(string file)
    {
        if (file.StartsWith("src/", StringComparison.Ordinal))
        {
            Assert.Empty(Included(file, "PackageReference").Except(Packages));
        }
    }

    [Fact]
    public void The_core_and_the_protocol_use_no_package_at_all()
    {
        foreach (var file in new[] { "src/Raft/KvStore.Raft.csproj", "src/Protocol/KvStore.Protocol.csproj" })
        {
            var shipped = XDocument.Parse(Repository.Read(file)).Descendants("PackageReference")
                .Where(item => (string?)item.Attribute("PrivateAssets") != "all");
            Assert.Empty(shipped);
        }
    }

    [Fact]
    public void The_arrows_have_no_circle()
    {
        foreach (var project in Arrows.Keys)
        {
            Assert.DoesNotContain(project, Reachable(project));
        }

        static IEnumerable<string> Reachable(string from) => Arrows[from].SelectMany(to => Reachable(to).Prepend(to));
    }

    private static IEnumerable<string> Included(string file, string item) =>
        XDocument.Parse(Repository.Read(file)).Descendants(item).Select(element => (string)element.Attribute("Include")!);

    private static string NameOf(string fileOrAssembly)
    {
        var name = Path.GetFileName(fileOrAssembly);
        name = name.EndsWith(".csproj", StringComparison.Ordinal) ? name[..^".csproj".Length] : name;
        return name["KvStore.".Length..];
    }
}
