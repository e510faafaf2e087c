// Part of the build, not of the assembly: an inline task of Patches.targets.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

/// <summary>
/// Applies the hunks of all mutants to copies of the sources they name. All hunks of a file are looked for in the file as it
/// is in the repository, so their order does not matter and none can depend on another; two that overlap are an error.
/// <code>
/// # what is broken, and which rule says so          any number of lines, first in the file
///
/// src/Raft/RaftNode.cs                              the file the following hunk belongs to
///      context                                      lines start with one more column than in the source:
/// -    taken out                                    ' ' stays, '-' goes, '+' comes
/// +    put in
/// </code>
/// A blank line ends a hunk. The name of the mutant is the name of its file, and every mutant must guard what it puts in by
/// <c>Mutant.Is("its name")</c>, so that the assembly without a switch is the product.
/// </summary>
public sealed class ApplyMutants : Task
{
    [Required]
    public string Root { get; set; }

    [Required]
    public ITaskItem[] Mutants { get; set; }

    [Required]
    public ITaskItem[] Sources { get; set; }

    [Required]
    public string Output { get; set; }

    [Output]
    public ITaskItem[] Patched { get; set; }

    [Output]
    public ITaskItem[] Untouched { get; set; }

    private sealed class Hunk
    {
        public string Mutant;
        public int Line;
        public List<string> Find = new List<string>();
        public List<string> Replace = new List<string>();
        public int At;
    }

    public override bool Execute()
    {
        var hunks = new SortedDictionary<string, List<Hunk>>(StringComparer.Ordinal);
        foreach (ITaskItem mutant in Mutants)
        {
            Read(mutant.ItemSpec, hunks);
        }

        var patched = new List<ITaskItem>();
        foreach (KeyValuePair<string, List<Hunk>> file in hunks)
        {
            string path = Path.GetFullPath(Path.Combine(Root, file.Key));
            if (!Sources.Any(s => Path.GetFullPath(s.ItemSpec) == path))
            {
                Fail(file.Value[0], "names " + file.Key + ", which is not among the sources");
                continue;
            }

            string target = Path.Combine(Output, file.Key);
            WriteIfChanged(target, Apply(path, file.Key, file.Value));
            patched.Add(new TaskItem(target));
        }

        Patched = patched.ToArray();
        var named = new HashSet<string>(hunks.Keys.Select(file => Path.GetFullPath(Path.Combine(Root, file))));
        Untouched = Sources.Where(source => !named.Contains(Path.GetFullPath(source.ItemSpec))).ToArray();
        return !Log.HasLoggedErrors;
    }

    private void Read(string path, SortedDictionary<string, List<Hunk>> hunks)
    {
        string[] lines = File.ReadAllLines(path);
        string guard = "Mutant.Is(\"" + Path.GetFileNameWithoutExtension(path) + "\")";
        if (lines.Length == 0 || !lines[0].StartsWith("# ") || !lines.Any(l => l.StartsWith("+") && l.Contains(guard)))
        {
            Log.LogError(null, null, null, path, 1, 0, 0, 0, "a mutant says first what it breaks (# ...) and guards it by " + guard);
        }

        string file = null;
        Hunk open = null;
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i];
            if (line.StartsWith("#"))
            {
                continue;
            }

            if (line.Trim().Length == 0)
            {
                open = null;
                continue;
            }

            if (line.StartsWith("src/"))
            {
                (file, open) = (line.Trim(), null);
                continue;
            }

            if (file == null || (line[0] != ' ' && line[0] != '-' && line[0] != '+'))
            {
                Log.LogError(null, null, null, path, i + 1, 0, 0, 0, "a line starts with '#', 'src/', ' ', '-' or '+'");
                return;
            }

            if (open == null)
            {
                open = new Hunk { Mutant = path, Line = i + 1 };
                if (!hunks.TryGetValue(file, out List<Hunk> list))
                {
                    hunks.Add(file, list = new List<Hunk>());
                }

                list.Add(open);
            }

            if (line[0] != '+')
            {
                open.Find.Add(line.Substring(1));
            }

            if (line[0] != '-')
            {
                open.Replace.Add(line.Substring(1));
            }
        }
    }

    private string Apply(string path, string name, List<Hunk> hunks)
    {
        List<string> source = File.ReadAllLines(path).ToList();
        foreach (Hunk hunk in hunks)
        {
            List<int> places = Enumerable.Range(0, source.Count)
                .Where(at => hunk.Find.Count > 0 && source.Skip(at).Take(hunk.Find.Count).SequenceEqual(hunk.Find))
                .ToList();
            if (places.Count != 1)
            {
                Fail(hunk, "matches " + name + " " + places.Count + " times instead of once: the product has changed, so must the mutant");
                return "";
            }

            hunk.At = places[0];
        }

        List<Hunk> ordered = hunks.OrderBy(h => h.At).ToList();
        for (int i = 1; i < ordered.Count; i++)
        {
            if (ordered[i - 1].At + ordered[i - 1].Find.Count > ordered[i].At)
            {
                Fail(ordered[i], "overlaps " + Path.GetFileName(ordered[i - 1].Mutant) + " in " + name + ": make their context smaller");
                return "";
            }
        }

        foreach (Hunk hunk in Enumerable.Reverse(ordered))
        {
            source.RemoveRange(hunk.At, hunk.Find.Count);
            source.InsertRange(hunk.At, hunk.Replace);
        }

        return string.Join("\n", source) + "\n";
    }

    // An unchanged file keeps its time, so that the compiler is not run for nothing.
    private static void WriteIfChanged(string path, string content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path));
        if (!File.Exists(path) || File.ReadAllText(path) != content)
        {
            File.WriteAllText(path, content, new UTF8Encoding(false));
        }
    }

    private void Fail(Hunk hunk, string what) => Log.LogError(null, null, null, hunk.Mutant, hunk.Line, 0, 0, 0, "this hunk " + what);
}
