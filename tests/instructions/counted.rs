//! The module with counters in it: each function counts the instructions that it executes.
//!
//! An interpreter charges a block when it is entered, with all instructions up to its end, although a branch
//! often leaves the block early. Here, each piece of code that is executed as a whole is charged by itself.

use std::collections::BTreeMap;
use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection, GlobalType, Instruction,
    Module, ValType,
};
use wasmparser::{BinaryReaderError, KnownCustom, Name, Parser, Payload, TypeRef};

/// The bytes of a memory that count as one instruction if an instruction copies or fills them.
const BYTES_PER_INSTRUCTION: u64 = 64;

/// The module with its counters.
pub(crate) struct Counted {
    pub(crate) bytes: Vec<u8>,
    /// The names of the functions that have counters, in their order.
    pub(crate) names: Vec<String>,
}

/// The name under which the counter of a function is exported.
pub(crate) fn counter(function: usize) -> String {
    format!("executed {function}")
}

/// Puts the counters into a module.
pub(crate) fn count(module: &[u8]) -> Counted {
    let (names, globals) = survey(module).expect("a valid module");
    let mut counters = Counters {
        functions: u32::try_from(names.len()).expect("few functions"),
        globals,
        current: 0,
    };
    let mut counted = Module::new();
    counters
        .parse_core_module(&mut counted, Parser::new(0), module)
        .expect("a valid module");
    Counted {
        bytes: counted.finish(),
        names,
    }
}

/// The names of the module's own functions, and the number of its globals.
fn survey(module: &[u8]) -> Result<(Vec<String>, u32), BinaryReaderError> {
    let (mut imported, mut functions, mut globals) = (0, 0, 0);
    let mut known = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) => imported += 1,
                        TypeRef::Global(_) => globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => functions = section.count(),
            Payload::GlobalSection(section) => globals += section.count(),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    for part in names {
                        if let Name::Function(names) = part? {
                            for name in names {
                                let name = name?;
                                known.insert(name.index, name.name.to_owned());
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let name = |index| {
        known
            .remove(&index)
            .unwrap_or_else(|| format!("function {index}"))
    };
    Ok(((imported..imported + functions).map(name).collect(), globals))
}

struct Counters {
    functions: u32,
    /// The globals of the module itself. The counters follow, and then one for a size.
    globals: u32,
    /// The function that is read.
    current: u32,
}

impl Reencode for Counters {
    type Error = Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_global_section(self, globals, section)?;
        let variable = |val_type| GlobalType {
            val_type,
            mutable: true,
            shared: false,
        };
        for _ in 0..self.functions {
            globals.global(variable(ValType::I64), &ConstExpr::i64_const(0));
        }
        globals.global(variable(ValType::I32), &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_export_section(self, exports, section)?;
        for function in 0..self.functions {
            let name = counter(function as usize);
            exports.export(&name, ExportKind::Global, self.globals + function);
        }
        Ok(())
    }

    // The names of functions are not needed to run them.
    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut piece = Piece {
            function: self.new_function_with_parsed_locals(&body)?,
            counter: self.globals + self.current,
            size: self.globals + self.functions,
            instructions: Vec::new(),
            count: 0,
        };
        self.current += 1;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            piece.add(self.instruction(operator)?);
        }
        code.function(&piece.function);
        Ok(())
    }
}

/// Instructions of which all are executed if the first one is.
struct Piece<'m> {
    function: Function,
    counter: u32,
    size: u32,
    instructions: Vec<Instruction<'m>>,
    count: i64,
}

impl<'m> Piece<'m> {
    fn add(&mut self, instruction: Instruction<'m>) {
        match &instruction {
            // Something else may have come here by a branch.
            Instruction::Loop(_) | Instruction::Else | Instruction::End => {
                self.end();
                self.function.instruction(&instruction);
                return;
            }
            Instruction::Block(_) | Instruction::Nop => {}
            Instruction::MemoryCopy { .. } | Instruction::MemoryFill(_) => {
                self.count += 1;
                self.count_size();
            }
            _ => self.count += 1,
        }
        let is_last = matches!(
            instruction,
            Instruction::If(_)
                | Instruction::Br(_)
                | Instruction::BrIf(_)
                | Instruction::BrTable(..)
                | Instruction::Return
                | Instruction::Unreachable
        );
        self.instructions.push(instruction);
        if is_last {
            self.end();
        }
    }

    /// Adds the size on top of the stack.
    fn count_size(&mut self) {
        let by_size = i64::try_from(BYTES_PER_INSTRUCTION).unwrap_or(1);
        self.instructions.extend([
            Instruction::GlobalSet(self.size),
            Instruction::GlobalGet(self.counter),
            Instruction::GlobalGet(self.size),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(by_size),
            Instruction::I64DivU,
            Instruction::I64Add,
            Instruction::GlobalSet(self.counter),
            Instruction::GlobalGet(self.size),
        ]);
    }

    fn end(&mut self) {
        if self.count > 0 {
            self.function
                .instruction(&Instruction::GlobalGet(self.counter))
                .instruction(&Instruction::I64Const(self.count))
                .instruction(&Instruction::I64Add)
                .instruction(&Instruction::GlobalSet(self.counter));
        }
        self.count = 0;
        for instruction in self.instructions.drain(..) {
            self.function.instruction(&instruction);
        }
    }
}

#[test]
fn each_instruction_that_is_executed_counts_once() {
    let module = wat::parse_str(
        r#"(module
            (memory 1)
            (func (export "run") (param i32) (result i32)
                (block
                    (br_if 0 (local.get 0))
                    (memory.fill (i32.const 0) (i32.const 1) (i32.const 640))
                    (return (i32.const 1)))
                (loop
                    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (if (local.get 0) (then unreachable) (else (drop (i32.const 0))))
                (i32.const 2))
            (global (mut i32) (i32.const 0)))"#,
    );
    let counted = count(&module.expect("a module"));
    assert_eq!(counted.names.len(), 1);
    let engine = wasmi::Engine::default();
    let module = wasmi::Module::new(&engine, counted.bytes).expect("a module");
    let mut store = wasmi::Store::new(&engine, ());
    let instance = wasmi::Linker::new(&engine)
        .instantiate_and_start(&mut store, &module)
        .expect("an instance");
    let run = instance
        .get_typed_func::<i32, i32>(&store, "run")
        .expect("a function");
    let mut executed = |argument| {
        let global = instance.get_global(&store, &counter(0)).expect("a counter");
        global.set(&mut store, wasmi::Val::I64(0)).expect("a variable");
        let result = run.call(&mut store, argument).expect("a result");
        (result, global.get(&store).i64().expect("a number"))
    };
    // local.get, br_if; 3 constants, memory.fill and 640 bytes; the constant and return.
    assert_eq!(executed(0), (1, 2 + 4 + 10 + 2));
    // local.get, br_if; three rounds of 5; local.get, if; constant, drop; constant.
    assert_eq!(executed(3), (2, 2 + 3 * 5 + 2 + 2 + 1));
}
