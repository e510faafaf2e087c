using System.Text.RegularExpressions;

namespace KvStore.Architecture.Tests;

/// <summary>
/// Which types of a project name which others, read from its source text: one node per top-level type (its partial files and nested types
/// belong to it), one arrow per name in its text. Who names an interface also points to whatever implements it there.
/// </summary>
internal sealed partial class TypeCycles
{
    private readonly Dictionary<string, HashSet<string>> _arrows = [];

    private TypeCycles()
    {
    }

    public static TypeCycles OfProject(string project) =>
        Of(Repository.Files("*.cs").Where(file => file.StartsWith($"src/{project}/", StringComparison.Ordinal)).Select(Repository.Read));

    public static TypeCycles Of(IEnumerable<string> sources)
    {
        Dictionary<string, string> texts = [];
        Dictionary<string, HashSet<string>> implementors = [];
        foreach (string source in sources)
        {
            foreach ((string name, string header, string text) in TopLevelTypes(Blank(source)))
            {
                texts[name] = texts.GetValueOrDefault(name, "") + " " + text;
                foreach (Match parent in Interface().Matches(Parameters().Replace(header, "")))
                {
                    implementors.TryAdd(parent.Value, []);
                    implementors[parent.Value].Add(name);
                }
            }
        }

        var cycles = new TypeCycles();
        foreach ((string name, string text) in texts)
        {
            IEnumerable<string> named = Name().Matches(text).Select(match => match.Value).Where(other => other != name && texts.ContainsKey(other));
            cycles._arrows[name] = [.. named.SelectMany(other => implementors.GetValueOrDefault(other, []).Append(other)).Where(other => other != name)];
        }

        return cycles;
    }

    public int Count => _arrows.Count;

    /// <summary>Types that can reach each other, the largest such set first; a type by itself is none.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Cycles()
    {
        // Tarjan 1972; recursion is as deep as the longest chain of types.
        List<IReadOnlyList<string>> found = [];
        Dictionary<string, (int Index, int Low)> seen = [];
        Stack<string> open = [];
        HashSet<string> isOpen = [];
        foreach (string type in _arrows.Keys.Order(StringComparer.Ordinal).Where(type => !seen.ContainsKey(type)))
        {
            Visit(type);
        }

        return [.. found.OrderByDescending(cycle => cycle.Count)];

        int Visit(string type)
        {
            int index = seen.Count;
            int low = index;
            seen[type] = (index, low);
            open.Push(type);
            isOpen.Add(type);
            foreach (string other in _arrows[type])
            {
                low = !seen.TryGetValue(other, out (int Index, int Low) earlier) ? Math.Min(low, Visit(other))
                    : isOpen.Contains(other) ? Math.Min(low, earlier.Index) : low;
            }

            seen[type] = (index, low);
            if (low == index)
            {
                List<string> cycle = [];
                string last;
                do
                {
                    last = open.Pop();
                    isOpen.Remove(last);
                    cycle.Add(last);
                }
                while (last != type);

                if (cycle.Count > 1)
                {
                    found.Add([.. cycle.Order(StringComparer.Ordinal)]);
                }
            }

            return low;
        }
    }

    private static IEnumerable<(string Name, string Header, string Text)> TopLevelTypes(string code)
    {
        int at = 0;
        while (Declaration().Match(code, at) is { Success: true } match)
        {
            int end = EndOf(code, match.Index + match.Length);
            int headerEnd = code.IndexOfAny(['{', ';'], match.Index + match.Length);
            yield return (match.Groups["name"].Value, code[match.Index..headerEnd], code[match.Index..end]);
            at = end;
        }
    }

    // Behind the declaration's own body, or its semicolon where it has none.
    private static int EndOf(string code, int from)
    {
        int depth = 0;
        for (int i = from; i < code.Length; i++)
        {
            if (code[i] == ';' && depth == 0)
            {
                return i + 1;
            }

            depth += code[i] == '{' ? 1 : code[i] == '}' ? -1 : 0;
            if (code[i] == '}' && depth == 0)
            {
                return i + 1;
            }
        }

        return code.Length;
    }

    // Comments and texts name types without using them; braces in texts would be counted.
    private static string Blank(string source) => CommentOrText().Replace(source, " ");

    [GeneratedRegex("""(?m)//.*$|/\*[\s\S]*?\*/|\"{3,}[\s\S]*?\"{3,}|\$?@"(?:[^"]|"")*"|\$?"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])'""")]
    private static partial Regex CommentOrText();

    [GeneratedRegex("""\b(?:class|struct|interface|enum|record(?:\s+(?:class|struct))?|delegate\s+[\w<>\[\]?,.]+)\s+(?<name>[A-Z]\w*)""")]
    private static partial Regex Declaration();

    [GeneratedRegex("""\bI[A-Z]\w*""")]
    private static partial Regex Interface();

    // Of a constructor in the header: who is given an interface does not implement it.
    [GeneratedRegex("""(?s)\((?>[^()]+|(?<open>\()|(?<-open>\)))*(?(open)(?!))\)""")]
    private static partial Regex Parameters();

    // Behind a dot it is a member that happens to have the name of a type.
    [GeneratedRegex("""(?<![\w.])[A-Z]\w*\b""")]
    private static partial Regex Name();
}
